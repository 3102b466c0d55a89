//! Reads a [`Node`] into a Rust type and tells for every error which field it concerns, and which fields the type does not
//! have. It must not know the types that it reads.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqDeserializer};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::node::{Node, Value};
use crate::api::Fault;

/// Most unknown fields that are listed for one object.
const MAX_UNKNOWN: usize = 20;

/// Reads `node`. Besides the value: the paths of fields that `T` does not have.
pub fn read<'a, T: Deserialize<'a>>(node: &'a Node) -> Result<(T, Vec<String>), Fault> {
    let unknown = RefCell::new(Vec::new());
    let reader = Reader { node, path: &Path::Root, unknown: &unknown };
    match T::deserialize(reader) {
        Ok(value) => Ok((value, unknown.into_inner())),
        Err(error) => Err(Fault::new(error.field.unwrap_or_default(), error.message)),
    }
}

/// An error of reading; gets its field from the innermost reader that it passes.
#[derive(Debug)]
struct ReadError {
    message: String,
    field: Option<String>,
}

impl ReadError {
    fn at(mut self, path: &Path<'_>) -> Self {
        self.field.get_or_insert_with(|| path.to_string());
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), field: None }
    }
}

enum Path<'a> {
    Root,
    Field(&'a Self, &'a str),
    Index(&'a Self, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

#[derive(Clone, Copy)]
struct Reader<'a, 'p> {
    node: &'a Node,
    path: &'p Path<'p>,
    unknown: &'p RefCell<Vec<String>>,
}

impl<'a> Reader<'a, '_> {
    fn any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(v) => visitor.visit_bool(*v),
            Value::Int(v) => match (i64::try_from(*v), u64::try_from(*v)) {
                (Ok(v), _) => visitor.visit_i64(v),
                (_, Ok(v)) => visitor.visit_u64(v),
                _ => visitor.visit_i128(*v),
            },
            Value::Float(v) => visitor.visit_f64(*v),
            Value::Text(v) => visitor.visit_borrowed_str(v),
            Value::List(items) => visitor.visit_seq(Items { items: items.iter(), index: 0, reader: self }),
            Value::Map(fields) => {
                visitor.visit_map(Fields { fields: fields.iter(), value: None, reader: self })
            }
        }
    }

    fn wanted_text(self) -> ReadError {
        let found = match &self.node.value {
            Value::Int(v) => format!("the number {v}; write it in quotes"),
            Value::Float(v) => format!("the number {v}; write it in quotes"),
            Value::Bool(v) => format!("{v}; write it in quotes"),
            Value::Null => "nothing".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
            Value::Text(_) => "text".to_owned(),
        };
        de::Error::custom(format!("needs a text, found {found}"))
    }
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.any(visitor).map_err(|error| error.at(self.path))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Text(text) => {
                visitor.visit_borrowed_str(text).map_err(|error: ReadError| error.at(self.path))
            }
            _ => Err(self.wanted_text().at(self.path)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self).map_err(|error: ReadError| error.at(self.path)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self).map_err(|error: ReadError| error.at(self.path))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let result = match &self.node.value {
            Value::Text(text) => {
                visitor.visit_enum(IntoDeserializer::<ReadError>::into_deserializer(text.as_str()))
            }
            Value::List(items) => {
                SeqDeserializer::new(items.iter().map(|_| ())).deserialize_enum(name, variants, visitor)
            }
            Value::Map(fields) => {
                let map = Fields { fields: fields.iter(), value: None, reader: self };
                MapAccessDeserializer::new(map).deserialize_enum(name, variants, visitor)
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => Err(self.wanted_text()),
        };
        result.map_err(|error| error.at(self.path))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let mut unknown = self.unknown.borrow_mut();
        if unknown.len() < MAX_UNKNOWN {
            unknown.push(self.path.to_string());
        }
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct
        map struct identifier
    }
}

struct Items<'a, 'p> {
    items: std::slice::Iter<'a, Node>,
    index: usize,
    reader: Reader<'a, 'p>,
}

impl<'a> SeqAccess<'a> for Items<'a, '_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some(node) = self.items.next() else { return Ok(None) };
        let path = Path::Index(self.reader.path, self.index);
        self.index += 1;
        seed.deserialize(Reader { node, path: &path, unknown: self.reader.unknown })
            .map(Some)
            .map_err(|error| error.at(&path))
    }

    /// So that a list of what is read has no room for more: it is kept as long as the object.
    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Fields<'a, 'p> {
    fields: std::slice::Iter<'a, (String, Node)>,
    value: Option<&'a (String, Node)>,
    reader: Reader<'a, 'p>,
}

impl<'a> MapAccess<'a> for Fields<'a, '_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        // A field that is null is a field that is absent, as an API server sees it.
        let Some(field) = self.fields.find(|(_, node)| node.value != Value::Null) else { return Ok(None) };
        self.value = Some(field);
        seed.deserialize(IntoDeserializer::<ReadError>::into_deserializer(field.0.as_str())).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, ReadError> {
        let Some((key, node)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let path = Path::Field(self.reader.path, key);
        seed.deserialize(Reader { node, path: &path, unknown: self.reader.unknown })
            .map_err(|error| error.at(&path))
    }
}
