//! A tree of settings as serde reads it. Texts stand for what they say, as the environment has nothing else, and an
//! error names the key, its origin, and the nearest name.

use config::{Map, Value, ValueKind};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::{ENVIRONMENT, ValueError};
use super::suggestions::lacks_its_word;

/// One value, to be read.
pub(super) struct Tree(pub(super) Value);

/// A table, key by key, in the order of the alphabet.
struct Table {
    rest: std::vec::IntoIter<(String, Value)>,
    value: Option<(String, Value)>,
    /// The origin of the key in hand.
    origin: Option<String>,
}

impl Table {
    fn of(map: Map<String, Value>) -> Self {
        let mut pairs: Vec<_> = map.into_iter().collect();
        pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self {
            rest: pairs.into_iter(),
            value: None,
            origin: None,
        }
    }
}

impl<'de> MapAccess<'de> for Table {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ValueError> {
        let Some((key, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.origin = value.origin().map(str::to_owned);
        let name: StrDeserializer<'_, ValueError> = key.as_str().into_deserializer();
        let read = seed
            .deserialize(name)
            .map_err(|error| error.told_of(self.origin.as_deref()))?;
        self.value = Some((key, value));
        Ok(Some(read))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ValueError> {
        let taken = self.value.take();
        let (key, value) = taken.ok_or_else(|| ValueError::custom("a value without its key"))?;
        seed.deserialize(Tree(value))
            .map_err(|error| error.within(&key, self.origin.as_deref()))
    }
}

/// A list.
struct List {
    rest: std::vec::IntoIter<Value>,
    index: usize,
}

impl<'de> SeqAccess<'de> for List {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ValueError> {
        let Some(value) = self.rest.next() else {
            return Ok(None);
        };
        let (index, origin) = (self.index, value.origin().map(str::to_owned));
        self.index += 1;
        let read = seed.deserialize(Tree(value));
        read.map(Some)
            .map_err(|error| error.within(&index.to_string(), origin.as_deref()))
    }
}

/// The elements of a list that is written as one text.
fn elements(text: &str, origin: Option<&String>) -> Vec<Value> {
    let texts = text
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty());
    texts.map(|text| Value::new(origin, text)).collect()
}

/// A number or a truth value that may be written as a text.
macro_rules! read_text {
    ($($method:ident $visit:ident $type:ty, $what:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            match &self.0.kind {
                ValueKind::String(text) => match text.trim().parse::<$type>() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(ValueError::custom(format!("`{text}` is not {}", $what))),
                },
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Tree {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0.kind {
            ValueKind::Nil => visitor.visit_unit(),
            ValueKind::Boolean(value) => visitor.visit_bool(value),
            // Numbers that are not negative, however wide, are of one kind to those who want to have them.
            ValueKind::I64(value) => match u64::try_from(value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_i64(value),
            },
            ValueKind::I128(value) => visitor.visit_i128(value),
            ValueKind::U64(value) => visitor.visit_u64(value),
            ValueKind::U128(value) => visitor.visit_u128(value),
            ValueKind::Float(value) => visitor.visit_f64(value),
            ValueKind::String(text) => visitor.visit_string(text),
            ValueKind::Table(table) => visitor.visit_map(Table::of(table)),
            ValueKind::Array(list) => visitor.visit_seq(List {
                rest: list.into_iter(),
                index: 0,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match &self.0.kind {
            ValueKind::String(text) => {
                let origin = self.0.origin().map(str::to_owned);
                visitor.visit_seq(List {
                    rest: elements(text, origin.as_ref()).into_iter(),
                    index: 0,
                })
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self.0.kind {
            ValueKind::String(text) if lacks_its_word(&text, words) => {
                Err(ValueError::none_of(Some(text), words))
            }
            ValueKind::String(text) => visitor.visit_enum(Choice(text)),
            ValueKind::Table(table) if !table.is_empty() => {
                let table = chosen(table);
                match table.len() {
                    1 => visitor.visit_enum(MapAccessDeserializer::new(Table::of(table))),
                    _ => Err(ValueError::custom("it is one of these, not several")),
                }
            }
            _ => Err(ValueError::none_of(None, words)),
        }
    }

    read_text! {
        deserialize_bool visit_bool bool, "`true` or `false`";
        deserialize_u8 visit_u64 u64, "a whole number";
        deserialize_u16 visit_u64 u64, "a whole number";
        deserialize_u32 visit_u64 u64, "a whole number";
        deserialize_u64 visit_u64 u64, "a whole number";
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct
        tuple tuple_struct map struct identifier ignored_any
    }
}

/// Of several choices the one of the environment, if there is one alone: it goes before those of the files.
fn chosen(mut table: Map<String, Value>) -> Map<String, Value> {
    let of_environment = |value: &Value| value.origin() == Some(ENVIRONMENT);
    if table.values().filter(|value| of_environment(value)).count() == 1 {
        table.retain(|_, value| of_environment(value));
    }
    table
}

/// A word among several, alone.
struct Choice(String);

impl<'de> EnumAccess<'de> for Choice {
    type Error = ValueError;
    type Variant = Alone;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Alone), ValueError> {
        let word: StrDeserializer<'_, ValueError> = self.0.as_str().into_deserializer();
        Ok((seed.deserialize(word)?, Alone(self.0)))
    }
}

/// The value that a word does not have.
struct Alone(String);

impl<'de> serde::de::VariantAccess<'de> for Alone {
    type Error = ValueError;

    fn unit_variant(self) -> Result<(), ValueError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, ValueError> {
        Err(self.lacks_its_value())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ValueError> {
        Err(self.lacks_its_value())
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, ValueError> {
        Err(self.lacks_its_value())
    }
}

impl Alone {
    fn lacks_its_value(&self) -> ValueError {
        ValueError::custom(format!("`{0}` has a value: {{ {0} = … }}", self.0))
    }
}
