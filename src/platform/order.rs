//! What gateway and keeper say to each other over the lifeline.
//!
//! Gateway to keeper: one *order* (length, then the program to start, with the server's three pipes attached to the
//! length), then [`Command`]s of one byte. Keeper to gateway: [`Report`]s of five bytes. Both ends are the same
//! build of the same program, so the format carries no version.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// The server's ends of its standard input, output and error, in this order.
pub(super) type Pipes = [OwnedFd; PIPE_COUNT];

/// Standard input, output and error.
pub(super) const PIPE_COUNT: usize = 3;

/// Bytes of the length that precedes every field and the order itself.
const LENGTH_BYTES: usize = size_of::<u32>();

/// Bytes of a report: its kind and one number.
pub(super) const REPORT_BYTES: usize = 1 + size_of::<i32>();

/// What the keeper is asked to start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) cwd: Option<OsString>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) cpu_seconds: Option<u64>,
    pub(super) open_files: Option<u64>,
    /// Directory of the control group to enter first.
    pub(super) group: Option<OsString>,
}

impl Order {
    /// The order as bytes, without the leading length.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        out.field(self.program.as_bytes());
        out.list(self.cwd.iter().map(|cwd| cwd.as_bytes()));
        for limit in [self.memory_bytes, self.cpu_seconds, self.open_files] {
            out.list(limit.map(u64::to_be_bytes).iter().map(<[u8; 8]>::as_slice));
        }
        out.list(self.group.iter().map(|group| group.as_bytes()));
        out.list(self.args.iter().map(|arg| arg.as_bytes()));
        out.list(self.env.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]));
        out.0
    }

    /// The order that [`Order::encode`] wrote; nothing if these bytes are not one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader(bytes);
        let program = input.field()?;
        let cwd = input.list()?.into_iter().next();
        let mut limit = || match input.list()?.into_iter().next() {
            Some(bytes) => Some(Some(u64::from_be_bytes(bytes.as_bytes().try_into().ok()?))),
            None => Some(None),
        };
        let (memory_bytes, cpu_seconds, open_files) = (limit()?, limit()?, limit()?);
        let group = input.list()?.into_iter().next();
        let args = input.list()?;
        let mut env = Vec::new();
        let mut variables = input.list()?.into_iter();
        while let Some(key) = variables.next() {
            env.push((key, variables.next()?));
        }
        input.0.is_empty().then_some(Self {
            program,
            args,
            env,
            cwd,
            memory_bytes,
            cpu_seconds,
            open_files,
            group,
        })
    }
}

/// Sends the length of the order with the pipes attached. The socket is fresh, so these few bytes always fit.
pub(super) fn send_pipes(
    lifeline: impl AsFd,
    length: u32,
    pipes: [BorrowedFd<'_>; PIPE_COUNT],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PIPE_COUNT))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&pipes)) {
        return Err(io::Error::other("the control message does not fit its buffer"));
    }
    let sent = rustix::net::sendmsg(
        lifeline,
        &[IoSlice::new(&length.to_be_bytes())],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    if sent == LENGTH_BYTES { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Reads the order and the pipes; nothing if the gateway went away first.
pub(super) fn receive(mut lifeline: &UnixStream) -> io::Result<Option<(Order, Pipes)>> {
    let mut length = [0; LENGTH_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PIPE_COUNT))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    #[cfg(target_os = "linux")]
    let flags = RecvFlags::CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = RecvFlags::empty();
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(lifeline, &mut [IoSliceMut::new(&mut length)], &mut control, flags)
    })?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let pipes: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    let pipes = Pipes::try_from(pipes).map_err(|_| malformed())?;
    let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
    match lifeline.read_exact(&mut bytes) {
        Ok(()) => Order::decode(&bytes).map(|order| Some((order, pipes))).ok_or_else(malformed),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the order on standard input is malformed")
}

/// What the gateway may ask of a keeper whose server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// SIGTERM to the server's process group.
    Terminate,
    /// SIGKILL to every descendant.
    Kill,
}

impl Command {
    pub(super) fn encode(self) -> u8 {
        match self {
            Self::Terminate => b'T',
            Self::Kill => b'K',
        }
    }

    pub(super) fn decode(byte: u8) -> Option<Self> {
        [Self::Terminate, Self::Kill].into_iter().find(|command| command.encode() == byte)
    }
}

/// What a keeper tells the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The server runs under this process id.
    Started(i32),
    /// The working directory could not be entered; the system's error number.
    BadCwd(i32),
    /// The program could not be started; the system's error number.
    BadProgram(i32),
    /// The control group could not be entered, and the server starts without; the system's error number.
    Unbounded(i32),
    /// The server exited with this status.
    Exited(i32),
    /// The server was killed by this signal.
    Signalled(i32),
}

impl Report {
    pub(super) fn encode(self) -> [u8; REPORT_BYTES] {
        let (kind, number) = match self {
            Self::Started(pid) => (b'P', pid),
            Self::BadCwd(errno) => (b'C', errno),
            Self::BadProgram(errno) => (b'X', errno),
            Self::Unbounded(errno) => (b'U', errno),
            Self::Exited(code) => (b'E', code),
            Self::Signalled(signal) => (b'S', signal),
        };
        let [a, b, c, d] = number.to_be_bytes();
        [kind, a, b, c, d]
    }

    pub(super) fn decode([kind, a, b, c, d]: [u8; REPORT_BYTES]) -> Option<Self> {
        let number = i32::from_be_bytes([a, b, c, d]);
        Some(match kind {
            b'P' => Self::Started(number),
            b'C' => Self::BadCwd(number),
            b'X' => Self::BadProgram(number),
            b'U' => Self::Unbounded(number),
            b'E' => Self::Exited(number),
            b'S' => Self::Signalled(number),
            _ => return None,
        })
    }
}

struct Writer(Vec<u8>);

impl Writer {
    /// Field and list lengths fit: the kernel refuses to start a program with more than a few megabytes of them.
    fn length(&mut self, length: usize) {
        self.0.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }

    fn field(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.extend(bytes);
    }

    fn list<'a>(&mut self, fields: impl Iterator<Item = &'a [u8]> + Clone) {
        self.length(fields.clone().count());
        fields.for_each(|field| self.field(field));
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn length(&mut self) -> Option<usize> {
        let (length, rest) = self.0.split_first_chunk::<LENGTH_BYTES>()?;
        self.0 = rest;
        usize::try_from(u32::from_be_bytes(*length)).ok()
    }

    fn field(&mut self) -> Option<OsString> {
        let length = self.length()?;
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(OsString::from_vec(field.to_vec()))
    }

    fn list(&mut self) -> Option<Vec<OsString>> {
        (0..self.length()?).map(|_| self.field()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, Report};

    #[test]
    fn an_order_arrives_as_it_was_sent() {
        let full = Order {
            program: "node".into(),
            args: vec!["".into(), "--x=1".into(), "ä b".into()],
            env: vec![("A".into(), "".into()), ("B".into(), "2=3".into())],
            cwd: Some("/srv".into()),
            memory_bytes: Some(u64::MAX),
            cpu_seconds: None,
            open_files: Some(64),
            group: Some("/sys/fs/cgroup/g".into()),
        };
        for order in [full, Order::default()] {
            assert_eq!(Order::decode(&order.encode()), Some(order));
        }
    }

    #[test]
    fn a_cut_or_padded_order_is_refused() {
        let bytes = Order { program: "p".into(), args: vec!["a".into()], ..Order::default() }.encode();
        for length in 0..bytes.len() {
            assert_eq!(Order::decode(&bytes[..length]), None, "cut at {length}");
        }
        assert_eq!(Order::decode(&[bytes, vec![0]].concat()), None);
    }

    #[test]
    fn a_report_arrives_as_it_was_sent() {
        for report in [
            Report::Started(7),
            Report::BadCwd(2),
            Report::BadProgram(13),
            Report::Unbounded(95),
            Report::Exited(-1),
        ] {
            assert_eq!(Report::decode(report.encode()), Some(report));
        }
        assert_eq!(Report::decode(*b"?0000"), None);
    }
}
