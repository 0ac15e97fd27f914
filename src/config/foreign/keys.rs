//! The names in a file in their order: the first server of a file is the first here too.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The names in a table, with those in each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Keys(Vec<(String, Keys)>);

impl Keys {
    /// The names in the table at a path.
    pub fn names(&self, path: &[&str]) -> Vec<&str> {
        let table = path.iter().try_fold(self, |keys, name| {
            keys.0.iter().find(|(other, _)| other == name).map(|(_, below)| below)
        });
        table.map(|keys| keys.0.iter().map(|(name, _)| name.as_str()).collect()).unwrap_or_default()
    }
}

/// Those of a TOML table.
pub(super) fn keys_of(table: &dyn toml_edit::TableLike) -> Keys {
    Keys(
        table
            .iter()
            .map(|(name, item)| (name.to_owned(), item.as_table_like().map(keys_of).unwrap_or_default()))
            .collect(),
    )
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Keys, D::Error> {
        from.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut keys = Keys::default();
        while let Some(entry) = map.next_entry()? {
            keys.0.push(entry);
        }
        Ok(keys)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Keys, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Keys::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Keys, E> {
        Ok(Keys::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Keys, E> {
        Ok(Keys::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Keys, E> {
        Ok(Keys::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Keys, E> {
        Ok(Keys::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Keys, E> {
        Ok(Keys::default())
    }

    fn visit_unit<E>(self) -> Result<Keys, E> {
        Ok(Keys::default())
    }
}
