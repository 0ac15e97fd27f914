//! Layers of settings: each knows its values and where every one of them came from.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use figment::value::{Dict, Map, Value as Merged};
use figment::{Figment, Metadata, Profile, Provider};

use super::faults::At;
use super::keys::KeyDoc;

/// A key's path, one element for each segment.
pub(super) type KeyPath = Vec<String>;

/// A value of the shape that its key asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Integer(i64),
    Text(String),
    List(Vec<String>),
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    File { key: Range<usize>, value: Range<usize>, items: Vec<Range<usize>> },
    Variable(String),
    Flag(String),
    Default,
}

/// One setting.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub path: KeyPath,
    /// The path as it was written, for people.
    pub key: String,
    pub doc: &'static KeyDoc,
    pub value: Value,
    pub place: Place,
}

/// Settings from one source; of two for one key the later holds.
#[derive(Debug, Default)]
pub(super) struct Layer(pub Vec<Leaf>);

/// All layers merged.
pub(super) struct Stack {
    layers: Vec<HashMap<KeyPath, Leaf>>,
    figment: Figment,
    merged: Dict,
}

impl Place {
    /// The value.
    pub fn value(&self) -> At {
        self.at(|_, value, _| value)
    }

    /// The key.
    pub fn key(&self) -> At {
        self.at(|key, _, _| key)
    }

    /// One element of a list.
    pub fn item(&self, index: usize) -> At {
        self.at(|_, value, items| items.get(index).unwrap_or(value))
    }

    fn at<'a>(
        &'a self,
        pick: impl Fn(&'a Range<usize>, &'a Range<usize>, &'a [Range<usize>]) -> &'a Range<usize>,
    ) -> At {
        match self {
            Self::File { key, value, items } => At::Span(pick(key, value, items).clone()),
            Self::Variable(name) => At::Variable(name.clone()),
            Self::Flag(name) => At::Flag(name.clone()),
            Self::Default => At::Default,
        }
    }
}

impl Stack {
    /// Merges the layers, the weakest first.
    pub fn new(layers: Vec<Layer>) -> Result<Self, String> {
        let mut figment = Figment::new();
        for (number, layer) in layers.iter().enumerate() {
            figment = figment.merge(Numbered { number, layer });
        }
        let merged =
            figment.data().map_err(|error| error.to_string())?.remove(&Profile::Default).unwrap_or_default();
        let by_path = |layer: Layer| layer.0.into_iter().map(|leaf| (leaf.path.clone(), leaf)).collect();
        Ok(Self { layers: layers.into_iter().map(by_path).collect(), figment, merged })
    }

    /// The setting that holds for a path.
    pub fn find(&self, path: &[String]) -> Option<&Leaf> {
        let (last, tables) = path.split_last()?;
        self.origin(path, table(&self.merged, tables)?.get(last)?)
    }

    /// The settings that hold below a table, sorted by path.
    pub fn below(&self, path: &[String]) -> Vec<&Leaf> {
        let mut leaves = Vec::new();
        if let Some(dict) = table(&self.merged, path) {
            self.collect(dict, &mut path.to_vec(), &mut leaves);
        }
        leaves
    }

    fn collect<'a>(&'a self, dict: &Dict, path: &mut KeyPath, leaves: &mut Vec<&'a Leaf>) {
        for (name, value) in dict {
            path.push(name.clone());
            match value {
                Merged::Dict(_, dict) => self.collect(dict, path, leaves),
                value => leaves.extend(self.origin(path, value)),
            }
            path.pop();
        }
    }

    /// The leaf that a merged value was made from: the tag leads to the layer.
    fn origin(&self, path: &[String], value: &Merged) -> Option<&Leaf> {
        let number: usize = self.figment.get_metadata(value.tag())?.name.parse().ok()?;
        self.layers.get(number)?.get(path)
    }
}

fn table<'a>(mut dict: &'a Dict, path: &[String]) -> Option<&'a Dict> {
    for name in path {
        dict = dict.get(name)?.as_dict()?;
    }
    Some(dict)
}

/// A layer under its number, which figment carries along with every value as the name of its source.
struct Numbered<'a> {
    number: usize,
    layer: &'a Layer,
}

impl Provider for Numbered<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.number.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut root = Dict::new();
        for leaf in &self.layer.0 {
            insert(&mut root, &leaf.path, &leaf.value);
        }
        Ok(BTreeMap::from([(Profile::Default, root)]))
    }
}

fn insert(dict: &mut Dict, path: &[String], value: &Value) {
    match path {
        [] => {}
        [last] => {
            let value = match value {
                Value::Bool(value) => Merged::from(*value),
                Value::Integer(value) => Merged::from(*value),
                Value::Text(value) => Merged::from(value.clone()),
                Value::List(items) => Merged::from(items.clone()),
            };
            dict.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let table = dict.entry(first.clone()).or_insert_with(|| Merged::from(Dict::new()));
            if let Merged::Dict(_, dict) = table {
                insert(dict, rest, value);
            }
        }
    }
}
