//! What stands behind the `?` of a path.

use axum::http::Uri;

use crate::base::form;

use super::failure::Failure;

/// Names and values, each name at most once.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The query of a path that takes these parameters; what nobody knows is refused, so that a typo selects nothing by
    /// accident.
    pub fn of(uri: &Uri, known: &[&[&str]]) -> Result<Query, Failure> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if !known.iter().any(|known| known.contains(&name.as_str())) {
                let all: Vec<&str> = known.iter().flat_map(|known| known.iter()).copied().collect();
                let text = format!("there is no parameter '{name}'; there are: {}", all.join(", "));
                return Err(Failure::invalid(text));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Failure::invalid(format!("'{name}' is given twice")));
            }
            pairs.push((name, value));
        }
        Ok(Query(pairs))
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter, read by `read`, whose error says how to write it.
    pub fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Option<T>,
        how: &str,
    ) -> Result<Option<T>, Failure> {
        let Some(text) = self.get(name) else { return Ok(None) };
        read(text).map(Some).ok_or_else(|| Failure::invalid(format!("'{name}' is '{text}': write {how}")))
    }
}

fn decoded(text: &str) -> Result<String, Failure> {
    form::unescape(text).ok_or_else(|| Failure::invalid("the query is not percent-encoded UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &'static str) -> Result<Query, Failure> {
        Query::of(&Uri::from_static(text), &[&["server", "tool"], &["limit"]])
    }

    #[test]
    fn values_are_taken_as_they_were_meant() {
        let read = query("/x?server=a&tool=caf%C3%A9+1%2B1&limit=").unwrap();
        assert_eq!((read.get("server"), read.get("tool")), (Some("a"), Some("café 1+1")));
        assert_eq!(read.get("limit"), Some(""));
        assert!(read.read("limit", |text| text.parse::<u8>().ok(), "a number").is_err());
        assert_eq!(query("/x").unwrap().get("server"), None);
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        for bad in ["/x?sever=a", "/x?server=a&server=b", "/x?tool=%4", "/x?tool=%zz", "/x?tool=%ff"] {
            assert_eq!(query(bad).unwrap_err().code(), "invalid", "{bad}");
        }
    }
}
