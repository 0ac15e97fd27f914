//! `traceparent`: which trace, which span in it, and whether it is recorded (W3C Trace Context §3.2).

use std::fmt;

/// The id of a whole trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// The id of one span of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// A place in a trace: what a `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// [`SpanContext::SAMPLED`], [`SpanContext::RANDOM`], and bits that mean nothing yet.
    pub flags: u8,
}

impl TraceId {
    /// Its digits, as a row has them.
    pub fn text(&self) -> String {
        digits(&self.0)
    }

    /// The id of these bytes, which must not all be zero.
    pub fn new(bytes: [u8; 16]) -> Option<TraceId> {
        (bytes != [0; 16]).then_some(TraceId(bytes))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl SpanId {
    /// The id of these bytes, which must not all be zero.
    pub fn new(bytes: [u8; 8]) -> Option<SpanId> {
        (bytes != [0; 8]).then_some(SpanId(bytes))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl SpanContext {
    /// The flag of a trace that is recorded (§3.2.2.5.1).
    pub const SAMPLED: u8 = 1;
    /// The flag of a trace whose id is random (Level 2, "Random Trace ID Flag").
    pub const RANDOM: u8 = 2;

    /// What `text` says, if it is a `traceparent`.
    pub fn parse(text: &str) -> Option<SpanContext> {
        let bytes = text.as_bytes();
        if bytes.len() < LENGTH || bytes[2] != b'-' || bytes[35] != b'-' || bytes[52] != b'-' {
            return None;
        }
        let [version] = hex(&bytes[..2])?;
        // Later versions may say more behind another dash; the first says no more.
        let longer = bytes.len() > LENGTH && (version == 0 || bytes[55] != b'-');
        if longer || version == 0xff {
            return None;
        }
        let (trace, span) = (TraceId::new(hex(&bytes[3..35])?)?, SpanId::new(hex(&bytes[36..52])?)?);
        let [flags] = hex(&bytes[53..55])?;
        Some(SpanContext { trace, span, flags })
    }

    /// The text of version 00, in which only the flags that are known are set (§3.2.2.5.2).
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(LENGTH);
        text.push_str("00-");
        push_hex(&mut text, &self.trace.0);
        text.push('-');
        push_hex(&mut text, &self.span.0);
        text.push('-');
        push_hex(&mut text, &[self.flags & (SpanContext::SAMPLED | SpanContext::RANDOM)]);
        text
    }

    /// Whether who made it says that the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SpanContext::SAMPLED != 0
    }
}

/// The bytes that small hexadecimal digits write.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Bytes of version 00.
const LENGTH: usize = 55;

fn digits(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}

/// Small hexadecimal digits, without the machinery of formatting: each traced call pays for them.
fn push_hex(text: &mut String, bytes: &[u8]) {
    let digit = |half: u8| char::from(if half < 10 { b'0' + half } else { b'a' + half - 10 });
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
}

impl fmt::Display for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&digits(&self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&digits(&self.0))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_it_says_is_read_and_what_is_malformed_is_not() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
        let read = SpanContext::parse(text).unwrap();
        assert_eq!(read.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(read.span.to_string(), "00f067aa0ba902b7");
        assert!(read.is_sampled());
        assert_eq!(read.to_string(), text);
        assert!(!SpanContext::parse(&text.replace("-01", "-00")).unwrap().is_sampled());
        let later = SpanContext::parse(&format!("01{}ff-more", &text[2..53])).unwrap();
        assert_eq!(later.to_string(), text.replace("-01", "-03"), "a later version may say more, we do not");
        for bad in [
            "",
            "00-0AF7651916CD43DD8448EB211C80319C-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01-more",
            "01-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01more",
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7",
        ] {
            assert_eq!(SpanContext::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_the_reader(text in any::<String>()) {
            let _ = SpanContext::parse(&text);
        }

        #[test]
        fn what_is_written_is_read_again(trace in any::<[u8; 16]>(), span in any::<[u8; 8]>(), flags in 0u8..4) {
            if let (Some(trace), Some(span)) = (TraceId::new(trace), SpanId::new(span)) {
                let context = SpanContext { trace, span, flags };
                prop_assert_eq!(SpanContext::parse(&context.to_string()), Some(context));
            }
        }
    }
}
