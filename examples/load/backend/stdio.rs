//! The echo backend on stdin and stdout: one thread, one read and one write for as many messages as there are.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::time::Instant;

use super::{Kind, Teller, answer};
use crate::options::{BackendOptions, Era};

/// Room for a read: a full pipe (64 KiB) and then some.
const READ_ROOM: usize = 128 * 1024;

/// Serves until stdin ends.
pub fn run(options: &BackendOptions) -> crate::Result<()> {
    let stdin = io::stdin();
    let stdout = io::stdout();
    let teller = Teller::new(options.tell)?;
    let mut lines = Lines::default();
    let mut held = VecDeque::<(Instant, Vec<u8>)>::new();
    let mut out = Vec::with_capacity(READ_ROOM);
    loop {
        if held.is_empty() || wait_readable(stdin.as_fd(), held.front().map(|(due, _)| *due))? {
            match rustix::io::read(stdin.as_fd(), lines.room()) {
                Ok(0) => return Ok(()),
                Ok(count) => lines.filled(count),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    wait_readable(stdin.as_fd(), None)?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            lines.take(|line| serve(options.era, line, &mut out, &mut held, &teller));
        }
        let now = Instant::now();
        while held.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, reply)) = held.pop_front() {
                out.extend_from_slice(&reply);
            }
        }
        write_all(stdout.as_fd(), &out)?;
        out.clear();
    }
}

fn serve(era: Era, line: &[u8], out: &mut Vec<u8>, held: &mut VecDeque<(Instant, Vec<u8>)>, teller: &Teller) {
    let start = out.len();
    let kind = answer(era, line, out);
    if out.len() > start {
        out.push(b'\n');
    }
    match kind {
        Kind::Held(time) => held.push_back((Instant::now() + time, out.split_off(start))),
        Kind::Discover | Kind::Initialized => teller.handshake_done(),
        _ => {}
    }
}

/// Waits until there is something to read, or until `due`; true when there is.
fn wait_readable(fd: BorrowedFd<'_>, due: Option<Instant>) -> crate::Result<bool> {
    let timeout = due.map(|due| {
        let left: Duration = due.saturating_duration_since(Instant::now());
        Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() }
    });
    match poll(&mut [PollFd::new(&fd, PollFlags::IN)], timeout.as_ref()) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> crate::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&fd, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Bytes read so far, cut into lines.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    used: usize,
}

impl Lines {
    fn room(&mut self) -> &mut [u8] {
        if self.bytes.len() - self.used < READ_ROOM {
            self.bytes.resize(self.used + READ_ROOM, 0);
        }
        &mut self.bytes[self.used..]
    }

    fn filled(&mut self, count: usize) {
        self.used += count;
    }

    /// Hands out every complete line without its end and keeps the rest.
    fn take(&mut self, mut each: impl FnMut(&[u8])) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &self.bytes[..self.used]) {
            if end > start {
                each(&self.bytes[start..end]);
            }
            start = end + 1;
        }
        self.bytes.copy_within(start..self.used, 0);
        self.used -= start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_being_cut_anywhere() {
        let text = b"one\n\ntwo and a half\nthree\n";
        for cut in 0..text.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for part in [&text[..cut], &text[cut..]] {
                lines.room()[..part.len()].copy_from_slice(part);
                lines.filled(part.len());
                lines.take(|line| seen.push(String::from_utf8(line.to_vec()).unwrap()));
            }
            assert_eq!(seen, ["one", "two and a half", "three"]);
        }
    }
}
