//! Messages that the gateway itself says.

use bytes::{BufMut, Bytes, BytesMut};

use super::id::RawId;
use super::skim::quote;
use crate::base::{Era, Error};

/// A response with the result `result`, which is JSON text.
pub fn result(id: &RawId, result: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(result.len() + id.as_bytes().len() + 40);
    out.put_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.put_slice(id.as_bytes());
    out.put_slice(br#","result":"#);
    out.put_slice(result);
    out.put_u8(b'}');
    out.freeze()
}

/// A response with `error`, in the form that a client of `era` understands. Without an id it is the answer to what
/// could not be read; a legacy client gets `null` there (JSON-RPC 2.0 §5), a modern one no id at all
/// (specification 2026-07-28, `basic/transports/streamable-http`).
pub fn error(id: Option<&RawId>, error: &Error, era: Era) -> Bytes {
    let (code, _) = error.kind.wire(era);
    let id = match (id, era) {
        (Some(id), _) => format!(r#""id":{},"#, String::from_utf8_lossy(id.as_bytes())),
        (None, Era::Legacy) => r#""id":null,"#.to_owned(),
        (None, Era::Modern) => String::new(),
    };
    let data = error.data.as_ref().map(|data| format!(r#","data":{data}"#)).unwrap_or_default();
    let message = quote(&error.message);
    Bytes::from(format!(r#"{{"jsonrpc":"2.0",{id}"error":{{"code":{code},"message":{message}{data}}}}}"#))
}

/// A request of ours; `params` is JSON text.
pub fn request(id: u64, method: &str, params: &str) -> Bytes {
    Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#))
}

/// A notification of ours; `params` is JSON text.
pub fn notification(method: &str, params: Option<&str>) -> Bytes {
    match params {
        Some(params) => Bytes::from(format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#)),
        None => Bytes::from(format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorKind;
    use crate::protocol::{Kind, Message};

    #[test]
    fn what_we_say_is_what_we_would_accept() {
        let id = RawId::from_number(7);
        let fault = Error::new(ErrorKind::InvalidParams, "no \"x\"").with_data("{\"a\":1}".to_owned());
        for (text, kind) in [
            (result(&id, b"{}"), Kind::Result),
            (error(Some(&id), &fault, Era::Modern), Kind::Error),
            (error(None, &fault, Era::Legacy), Kind::Error),
            (error(None, &fault, Era::Modern), Kind::Error),
            (request(1, "ping", "{}"), Kind::Request),
            (notification("notifications/x", None), Kind::Notification),
        ] {
            assert_eq!(Message::parse(text).unwrap().kind(), kind);
        }
    }
}
