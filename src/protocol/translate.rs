//! Differences between the eras that stand inside a result or a request: the fields one era knows and the other
//! does not. Every function edits our bytes and leaves the rest as it arrived.

use bytes::{BufMut, Bytes, BytesMut};

use super::params::{Meta, Params, key};
use super::skim::{self, Span};
use super::splice::Splice;

/// Where to find what a modern result must have.
#[derive(Debug, Default)]
struct ResultFields {
    result_type: Option<Span>,
    ttl: Option<Span>,
    scope: Option<Span>,
    meta: Option<Span>,
}

impl ResultFields {
    fn read(result: &str) -> Option<ResultFields> {
        let mut fields = ResultFields::default();
        skim::each_field(result, |key, span| {
            match key {
                "resultType" => fields.result_type = Some(span),
                "ttlMs" => fields.ttl = Some(span),
                "cacheScope" => fields.scope = Some(span),
                "_meta" => fields.meta = Some(span),
                _ => {}
            }
            Ok(())
        })
        .ok()?;
        Some(fields)
    }
}

/// Gives the result of a legacy server what a modern client expects: `resultType`, the server's identity, and for
/// cacheable methods `ttlMs` 0 and `cacheScope` private, because a legacy server promised nothing. `at` is the place
/// of the result in the text that `splice` edits.
pub fn result_to_modern(splice: &mut Splice, text: &str, at: Span, server_info: &str, cacheable: bool) {
    let result = &text[at.clone()];
    let Some(fields) = ResultFields::read(result) else { return };
    let mut head = BytesMut::new();
    if fields.result_type.is_none() {
        head.put_slice(br#""resultType":"complete","#);
    }
    if cacheable && fields.ttl.is_none() {
        head.put_slice(br#""ttlMs":0,"#);
    }
    if cacheable && fields.scope.is_none() {
        head.put_slice(br#""cacheScope":"private","#);
    }
    let identity = format!(r#""{}":{server_info}"#, key::SERVER_INFO);
    match fields.meta {
        Some(meta) if result[meta.clone()].starts_with('{') => {
            if skim::field(&result[meta.clone()], key::SERVER_INFO).is_none() {
                insert_field(splice, text, at.start + meta.start..at.start + meta.end, identity);
            }
        }
        Some(_) => {}
        None => head.put_slice(format!(r#""_meta":{{{identity}}},"#).as_bytes()),
    }
    if head.is_empty() {
        return;
    }
    head.truncate(head.len() - 1);
    insert_field(splice, text, at, head.freeze());
}

/// Adds what a modern server requires to the request of a legacy client: version, capabilities, identity and log
/// level (`meta`, the fields of `params._meta`), and further fields of `params` itself (`more`, or nothing). `params`
/// are the places in the text that `splice` edits; `behind` is where `params` is to be put if there is none: right
/// behind the method's closing quote.
pub fn request_to_modern(
    splice: &mut Splice,
    text: &str,
    params: &Params,
    behind: usize,
    (meta, more): (&str, &str),
    drop: impl Fn(&str) -> bool,
) {
    let gives_way = |name: &str| is_modern_field(name) || drop(name);
    let comma = if more.is_empty() { "" } else { "," };
    let Some(span) = params.span.clone() else {
        let added = format!(r#","params":{{"_meta":{{{meta}}}{comma}{more}}}"#);
        return splice.insert(behind, Bytes::from(added));
    };
    // Rounds of questions are the gateway's to keep for a legacy client: what it sends of them by itself is no
    // server's state, and must not pass for it.
    drop_fields(splice, text, span.clone(), is_round_field);
    let kept = has_field(&text[span.clone()], |name| !is_round_field(name));
    let mut added = more.to_owned();
    match &params.meta {
        Some(Meta { span: meta_span, .. }) => {
            // What the client sent of these fields by itself gives way: a key that stands twice means nothing.
            drop_fields(splice, text, meta_span.clone(), gives_way);
            splice.insert(meta_span.start + 1, Bytes::from(meta.to_owned()));
            if has_field(&text[meta_span.clone()], |name| !gives_way(name)) {
                splice.insert(meta_span.start + 1, Bytes::from_static(b","));
            }
        }
        None => added = format!(r#""_meta":{{{meta}}}{comma}{more}"#),
    }
    if !added.is_empty() {
        splice.insert(span.start + 1, Bytes::from(added));
        if kept {
            splice.insert(span.start + 1, Bytes::from_static(b","));
        }
    }
}

/// Whether `name` is a field of `params` that belongs to a further round of a request with questions.
fn is_round_field(name: &str) -> bool {
    matches!(name, "requestState" | "inputResponses")
}

/// Takes the rounds of a request with questions out of it: for a legacy server the gateway keeps them.
pub fn drop_rounds(splice: &mut Splice, text: &str, params: &Params) {
    if let (Some(span), true) =
        (params.span.clone(), params.request_state.is_some() || params.input_responses.is_some())
    {
        drop_fields(splice, text, span, is_round_field);
    }
}

/// Takes the fields that `drop` names out of `params._meta` and adds others (`more`, or nothing). For a legacy server
/// the fields of the modern era are dropped: to a server that speaks both eras they would make a request modern, and
/// an old one may refuse what it does not know. `gone` is a field of `params` that somebody else takes out.
pub fn meta(
    splice: &mut Splice,
    text: &str,
    params: &Params,
    behind: usize,
    (more, gone): (&str, Option<&str>),
    drop: impl Fn(&str) -> bool,
) {
    if let Some(meta) = &params.meta {
        let at = meta.span.clone();
        drop_fields(splice, text, at.clone(), &drop);
        if !more.is_empty() {
            splice.insert(at.start + 1, Bytes::from(more.to_owned()));
            if has_field(&text[at.clone()], |name| !drop(name)) {
                splice.insert(at.start + 1, Bytes::from_static(b","));
            }
        }
    } else if !more.is_empty() {
        match params.span.clone() {
            None => splice.insert(behind, Bytes::from(format!(r#","params":{{"_meta":{{{more}}}}}"#))),
            Some(span) => {
                splice.insert(span.start + 1, Bytes::from(format!(r#""_meta":{{{more}}}"#)));
                if has_field(&text[span.clone()], |name| gone != Some(name)) {
                    splice.insert(span.start + 1, Bytes::from_static(b","));
                }
            }
        }
    }
}

/// Whether `name` is a field of `_meta` that a modern request carries for itself.
pub fn is_modern_field(name: &str) -> bool {
    matches!(name, key::PROTOCOL_VERSION | key::CLIENT_CAPABILITIES | key::CLIENT_INFO | key::LOG_LEVEL)
}

/// Whether the object `object` has a field that `which` accepts.
fn has_field(object: &str, which: impl Fn(&str) -> bool) -> bool {
    let mut found = false;
    let _ = skim::each_field(object, |name, _| {
        found |= which(name);
        Ok(())
    });
    found
}

/// Inserts the fields `fields` (JSON text without braces) at the front of the object at `object`.
pub fn insert_field(splice: &mut Splice, text: &str, object: Span, fields: impl Into<Bytes>) {
    let inner = &text[object.start + 1..object.end];
    let empty = inner.trim_start().starts_with('}');
    splice.insert(object.start + 1, fields.into());
    if !empty {
        splice.insert(object.start + 1, Bytes::from_static(b","));
    }
}

/// Takes the fields of the modern era out of a result that goes to a legacy client. Whole fields go, with the comma
/// that set them apart.
pub fn result_to_legacy(splice: &mut Splice, text: &str, at: Span) {
    drop_fields(splice, text, at, |name| matches!(name, "resultType" | "ttlMs" | "cacheScope"));
}

/// Takes the field `name` out of the object at `at`.
pub fn drop_field(splice: &mut Splice, text: &str, at: Span, name: &str) {
    drop_fields(splice, text, at, |field| field == name);
}

/// Takes the fields that `drop` names out of the object at `at`.
fn drop_fields(splice: &mut Splice, text: &str, at: Span, drop: impl Fn(&str) -> bool) {
    let object = &text[at.clone()];
    let mut places = Vec::new();
    let mut previous_end = 1;
    let walked = skim::each_field(object, |key, span| {
        // A field reaches from the end of the one before it to its own end.
        let reach = previous_end..span.end;
        previous_end = span.end;
        places.push((reach, drop(key)));
        Ok(())
    });
    if walked.is_err() {
        return;
    }
    let mut first_kept = true;
    for (reach, drop) in places {
        let (start, end) = (at.start + reach.start, at.start + reach.end);
        if drop {
            splice.replace(start..end, Bytes::new());
        } else {
            // The first field that stays must not keep the comma of one that went.
            let comma = text[start..end].bytes().position(|b| b == b',' || b == b'"').unwrap_or(0);
            if first_kept && text.as_bytes()[start + comma] == b',' {
                splice.replace(start + comma..start + comma + 1, Bytes::new());
            }
            first_kept = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Message;

    fn modern(result: &str, cacheable: bool) -> String {
        let mut splice = Splice::new(Bytes::copy_from_slice(result.as_bytes()));
        result_to_modern(&mut splice, result, 0..result.len(), r#"{"name":"s"}"#, cacheable);
        String::from_utf8(splice.to_bytes(0).to_vec()).unwrap()
    }

    fn legacy(result: &str) -> String {
        let mut splice = Splice::new(Bytes::copy_from_slice(result.as_bytes()));
        result_to_legacy(&mut splice, result, 0..result.len());
        String::from_utf8(splice.to_bytes(0).to_vec()).unwrap()
    }

    #[test]
    fn a_legacy_result_gains_what_a_modern_client_expects() {
        assert_eq!(
            modern(r#"{"content":[]}"#, false),
            r#"{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"}},"content":[]}"#
        );
        assert_eq!(
            modern(r#"{ }"#, true),
            r#"{"resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"}} }"#
        );
        assert_eq!(
            modern(r#"{"_meta":{"a":1},"x":2}"#, false),
            r#"{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"},"a":1},"x":2}"#
        );
    }

    #[test]
    fn what_a_server_said_itself_is_left_alone() {
        let own = r#"{"resultType":"task","ttlMs":5,"cacheScope":"public","_meta":{"io.modelcontextprotocol/serverInfo":{}}}"#;
        assert_eq!(modern(own, true), own);
    }

    #[test]
    fn a_legacy_client_does_not_see_the_fields_of_the_modern_era() {
        assert_eq!(
            legacy(r#"{"resultType":"complete","content":[1, 2] ,"ttlMs":0 }"#),
            r#"{"content":[1, 2] }"#
        );
        assert_eq!(legacy(r#"{ "a":1, "cacheScope":"x", "b":2}"#), r#"{ "a":1, "b":2}"#);
        assert_eq!(legacy(r#"{"resultType":"complete"}"#), "{}");
        assert_eq!(legacy(r#"{"ttlMs":1,"resultType":"complete", "b":{}}"#), r#"{ "b":{}}"#);
        assert_eq!(legacy("{}"), "{}");
    }

    #[test]
    fn a_legacy_server_does_not_see_what_only_modern_requests_carry() {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28", "progressToken":1,"io.modelcontextprotocol/clientCapabilities":{}},"name":"x"}}"#;
        let message = Message::parse(Bytes::from_static(text.as_bytes())).unwrap();
        let params = Params::read(&message).unwrap();
        let mut splice = Splice::new(message.text().clone());
        meta(&mut splice, text, &params, 0, ("", None), is_modern_field);
        let expected =
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{ "progressToken":1},"name":"x"}}"#;
        assert_eq!(splice.to_bytes(0), expected);
    }

    #[test]
    fn a_legacy_client_cannot_slip_a_state_past_the_seal() {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"requestState":"forged","a":1,"inputResponses":{}}}"#;
        let message = Message::parse(Bytes::from_static(text.as_bytes())).unwrap();
        let params = Params::read(&message).unwrap();
        for (more, expected) in [
            ("", r#"{"_meta":{"v":1},"a":1}"#),
            (r#""requestState":"ours""#, r#"{"_meta":{"v":1},"requestState":"ours","a":1}"#),
        ] {
            let mut splice = Splice::new(message.text().clone());
            request_to_modern(&mut splice, text, &params, 0, (r#""v":1"#, more), |_| false);
            let edited = Message::parse(splice.to_bytes(0)).unwrap();
            assert_eq!(edited.params(), expected);
        }
    }

    #[test]
    fn a_field_that_the_client_sent_by_itself_gives_way_to_ours() {
        for (meta, expected) in [
            (r#"{"io.modelcontextprotocol/clientInfo":{}}"#, r#"{"v":1}"#),
            (r#"{"io.modelcontextprotocol/logLevel":"info","p":2}"#, r#"{"v":1,"p":2}"#),
            (r#"{"p":2,"io.modelcontextprotocol/logLevel":"info"}"#, r#"{"v":1,"p":2}"#),
        ] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"_meta":{meta}}}}}"#);
            let message = Message::parse(Bytes::from(text.clone())).unwrap();
            let params = Params::read(&message).unwrap();
            let mut splice = Splice::new(message.text().clone());
            request_to_modern(&mut splice, &text, &params, 0, (r#""v":1"#, ""), |_| false);
            let edited = Message::parse(splice.to_bytes(0)).unwrap();
            assert_eq!(skim::field_text(edited.params(), "_meta"), Some(expected));
        }
    }

    #[test]
    fn a_legacy_request_gains_its_meta_wherever_there_is_room() {
        for (text, expected) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#,
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"v":1}}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{}}"#,
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"v":1}}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"p":2},"x":3}}"#,
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"v":1,"p":2},"x":3}}"#,
            ),
        ] {
            let message = Message::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap();
            let params = Params::read(&message).unwrap();
            let mut splice = Splice::new(message.text().clone());
            let behind = message.method_span().unwrap().end + 1;
            request_to_modern(&mut splice, text, &params, behind, (r#""v":1"#, ""), |_| false);
            assert_eq!(splice.to_bytes(0), expected);
            let mut splice = Splice::new(message.text().clone());
            request_to_modern(&mut splice, text, &params, behind, (r#""v":1"#, r#""more":2"#), |_| false);
            let edited = Message::parse(splice.to_bytes(0)).unwrap();
            assert_eq!(skim::field_text(edited.params(), "more"), Some("2"));
        }
    }
}
