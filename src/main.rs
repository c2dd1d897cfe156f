//! Parse, run, print: the error's chain, its hint, its exit code.

fn main() -> std::process::ExitCode {
    // The shim and the first processes of containers and pods must never live in a process with threads.
    if let Some(code) = bootstrap::runner::runtime::shim::main_if_shim() {
        return code;
    }
    if let Some(code) = bootstrap::runner::runtime::pause::main_if_pause() {
        return code;
    }
    bootstrap::cli::main()
}
