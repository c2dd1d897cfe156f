//! Logs of containers: what was written is read again byte for byte, and what nobody has written harms nothing.
#![no_main]

use bootstrap::runner::logs::lines::Joiner;
use bootstrap::runner::runtime::log::{Stream, Unfinished, frame};
use bootstrap_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

const TIME: &str = "2026-01-01T00:00:00.000000000Z";

fuzz_target!(|data: &[u8]| {
    // as a file that anybody may have written
    for timestamps in [false, true] {
        let read = bounded(|| read(data, timestamps));
        assert!(read.len() <= data.len(), "a log is read that is longer than its file");
    }
    // as the output of a container, which is written in pieces
    let mut records = Vec::new();
    let (cut, output) = data.split_first().map_or((1, data), |(cut, output)| (usize::from(*cut) + 1, output));
    for piece in output.chunks(cut) {
        let taken = frame(piece, Stream::Stdout, TIME, Unfinished::Write, usize::MAX, &mut records);
        assert_eq!(taken, piece.len());
    }
    assert_eq!(read(&records, false), output, "what is read is not what was written");
});

/// As `bootstrap logs` does.
fn read(file: &[u8], timestamps: bool) -> Vec<u8> {
    let mut joiner = Joiner::default();
    let ended =
        file.split_inclusive(|byte| *byte == b'\n').filter_map(|record| joiner.push(record)).collect::<Vec<_>>();
    let mut text = Vec::new();
    ended.into_iter().chain(joiner.rest()).for_each(|line| line.write(timestamps, &mut text));
    text
}
