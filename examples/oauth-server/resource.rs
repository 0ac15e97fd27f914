//! The MCP server: legacy, without sessions, and for those only who have a token.

use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::{Answer, Asked, status, whole};

pub(crate) async fn answer(authority: &Authority, asked: &Asked) -> Answer {
    if asked.method != http::Method::POST {
        return status(StatusCode::METHOD_NOT_ALLOWED);
    }
    let shown = asked.authorization.as_deref().and_then(|value| value.strip_prefix("Bearer "));
    let Some(scope) = shown.and_then(|token| authority.scope_of(token)) else {
        authority.count("401");
        return refused(authority, StatusCode::UNAUTHORIZED, "scope=\"read\"");
    };
    let message: Value = serde_json::from_str(&asked.body).unwrap_or(Value::Null);
    let Some(id) = message.get("id") else { return status(StatusCode::ACCEPTED) };
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "oauth-server", "version": "1" },
        }),
        "ping" => json!({}),
        "tools/list" => {
            let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" } });
            json!({ "tools": [tool("read"), tool("write")] })
        }
        "tools/call" => {
            let name = message["params"]["name"].as_str().unwrap_or_default();
            if authority.how("refuse") == name {
                return refused(authority, StatusCode::UNAUTHORIZED, "error=\"invalid_token\"");
            }
            if !scope.split(' ').any(|one| one == name) {
                authority.count("403");
                let text = format!("error=\"insufficient_scope\", scope=\"{name}\"");
                return refused(authority, StatusCode::FORBIDDEN, &text);
            }
            authority.count("calls");
            json!({ "content": [{ "type": "text", "text": scope }] })
        }
        _ => {
            let error = json!({ "code": -32601, "message": "Method not found" });
            return whole(StatusCode::OK, &json!({ "jsonrpc": "2.0", "id": id, "error": error }));
        }
    };
    whole(StatusCode::OK, &json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

fn refused(authority: &Authority, code: StatusCode, text: &str) -> Answer {
    let metadata = format!("{}/.well-known/oauth-protected-resource/mcp", authority.base);
    let mut answer = status(code);
    if let Ok(value) =
        header::HeaderValue::from_str(&format!("Bearer resource_metadata=\"{metadata}\", {text}"))
    {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    answer
}
