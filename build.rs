//! Generates the types and services of the CRI from `proto/`, with no other program than this one.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let definition = "proto/runtime/v1/api.proto";
    println!("cargo::rerun-if-changed={definition}");
    let descriptors = protox::compile([definition], ["proto"])?;
    // the client is the tests'
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
