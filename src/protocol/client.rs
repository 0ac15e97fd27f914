//! What a client says of itself.

use super::skim;

/// Name and version, as `initialize` or `_meta` give them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The name.
    pub name: String,
    /// The version.
    pub version: String,
}

impl ClientInfo {
    /// Reads a `clientInfo` object; what is missing is empty.
    pub fn read(json: &str) -> ClientInfo {
        let text = |field: &str| skim::string_field(json, field).unwrap_or_default().into_owned();
        ClientInfo { name: text("name"), version: text("version") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_version_are_read_and_nothing_is_made_up() {
        let info = ClientInfo::read(r#"{"version":"1.2","title":"A Desk","name":"desk"}"#);
        assert_eq!((info.name.as_str(), info.version.as_str()), ("desk", "1.2"));
        for wrong in ["", "{}", "[]", r#"{"name":1}"#] {
            assert_eq!(ClientInfo::read(wrong), ClientInfo::default(), "{wrong}");
        }
    }
}
