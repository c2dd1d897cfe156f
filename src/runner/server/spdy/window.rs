//! PURE: how much may be sent until the other end has read more, where it counts that.
//!
//! The draft has everybody count from 64 KiB on. Go's spdystream, which every Kubernetes client uses, neither counts
//! nor ever opens a window again; to hold to the first 64 KiB would be to stop there. So windows bind from the moment
//! at which the other end shows that it counts: by a window update, or by a setting of the initial window.

use std::collections::BTreeMap;

use super::Broken;

const INITIAL: i64 = 64 << 10;
const MAX: i64 = 0x7fff_ffff;

#[derive(Debug)]
pub(super) struct Windows {
    counts: bool,
    initial: i64,
    connection: i64,
    streams: BTreeMap<u32, i64>,
}

impl Default for Windows {
    fn default() -> Self {
        Windows { counts: false, initial: INITIAL, connection: INITIAL, streams: BTreeMap::new() }
    }
}

impl Windows {
    pub(super) fn open(&mut self, stream: u32) {
        self.streams.insert(stream, self.initial);
    }

    pub(super) fn close(&mut self, stream: u32) {
        self.streams.remove(&stream);
    }

    /// How much of `wanted` bytes may be sent now; they then count as sent. 0: wait for an update.
    pub(super) fn take(&mut self, stream: u32, wanted: usize) -> usize {
        // a stream that is gone takes everything: whoever sends is told by the connection
        let Some(window) = self.streams.get_mut(&stream) else { return wanted };
        let room = if self.counts { (*window).min(self.connection).max(0) } else { MAX };
        let taken = wanted.min(usize::try_from(room).unwrap_or(usize::MAX));
        *window -= taken as i64;
        self.connection -= taken as i64;
        taken
    }

    /// The other end has read `delta` bytes; `stream` is 0 for the connection.
    pub(super) fn update(&mut self, stream: u32, delta: u32) -> Result<(), Broken> {
        self.count();
        let window = if stream == 0 { Some(&mut self.connection) } else { self.streams.get_mut(&stream) };
        // a stream may have ended meanwhile
        let Some(window) = window else { return Ok(()) };
        *window += i64::from(delta);
        if *window > MAX { Err(Broken::Window) } else { Ok(()) }
    }

    /// The other end's streams begin with another window, those that are open too.
    pub(super) fn begin_with(&mut self, initial: u32) -> Result<(), Broken> {
        self.count();
        let initial = i64::from(initial);
        if initial > MAX {
            return Err(Broken::Window);
        }
        self.streams.values_mut().for_each(|window| *window += initial - self.initial);
        self.initial = initial;
        if self.streams.values().any(|window| *window > MAX) { Err(Broken::Window) } else { Ok(()) }
    }

    /// What was sent before it was known that somebody counts is forgotten: it was read, or it would not have come here.
    fn count(&mut self) {
        if !self.counts {
            self.counts = true;
            self.connection = self.connection.max(0);
            self.streams.values_mut().for_each(|window| *window = (*window).max(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_bind_once_the_other_end_counts() {
        let mut windows = Windows::default();
        windows.open(1);
        windows.open(3);
        assert_eq!(windows.take(1, 1 << 20), 1 << 20, "Go's library never opens a window");
        windows.update(1, 100).unwrap_or_default();
        assert_eq!(windows.take(1, 1000), 0, "the connection's is used up");
        windows.update(0, 150).unwrap_or_default();
        assert_eq!((windows.take(1, 1000), windows.take(3, 1000), windows.take(3, 1000)), (100, 50, 0));
    }

    #[test]
    fn a_new_initial_window_counts_for_open_streams() {
        let mut windows = Windows::default();
        windows.open(1);
        assert_eq!(windows.begin_with(10), Ok(()));
        assert_eq!(windows.take(1, 1000), 10);
        assert_eq!(windows.begin_with(30), Ok(()));
        assert_eq!(windows.take(1, 1000), 20);
        windows.open(3);
        assert_eq!(windows.take(3, 1000), 30);
    }

    #[test]
    fn no_window_grows_without_end() {
        let mut windows = Windows::default();
        windows.open(1);
        assert_eq!(windows.update(1, 0x7fff_ffff), Err(Broken::Window));
        assert_eq!(windows.begin_with(u32::MAX), Err(Broken::Window));
        assert_eq!(windows.update(9, 1), Ok(()), "it may have ended");
    }
}
