//! Times, sizes and permissions as people write them.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// A length of time: `"5s"`, `"1m 30s"`, `"250ms"`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time(pub(super) Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time with its unit, for instance \"5s\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
                let time = humantime::parse_duration(text.trim());
                time.map(Time)
                    .map_err(|error| E::custom(format!("`{text}` is not a time: {error}")))
            }
        }
        from.deserialize_str(Text)
    }
}

/// A size: `"64MiB"`, `"1MB"`, or a number of bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size(ByteSize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size, for instance \"64MiB\", or a number of bytes")
            }

            fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(ByteSize(bytes)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                let size = text.trim().parse().map(Size);
                size.map_err(|_| {
                    E::custom(format!(
                        "`{text}` is not a size; write for instance `64MiB`"
                    ))
                })
            }
        }
        from.deserialize_any(Bytes)
    }
}

impl Size {
    pub(super) fn bytes(self) -> u64 {
        self.0.as_u64()
    }

    /// The size as memory has them, which the greatest is meant to be where it is larger.
    pub(super) fn in_memory(self) -> usize {
        usize::try_from(self.bytes()).unwrap_or(usize::MAX)
    }

    /// The size as the length of a frame, or a queue of the system's, has it.
    pub(super) fn in_u32(self) -> u32 {
        u32::try_from(self.bytes()).unwrap_or(u32::MAX)
    }
}

/// The permissions of a file, in octal: `"0600"`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mode(pub(super) u32);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Mode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("octal digits in quotes, for instance \"0600\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Mode, E> {
                let digits = text.strip_prefix("0o").unwrap_or(text);
                match u32::from_str_radix(digits, 8) {
                    Ok(mode) if mode <= 0o7777 => Ok(Mode(mode)),
                    _ => Err(E::custom(format!("`{text}` are no permissions in octal"))),
                }
            }
        }
        from.deserialize_str(Digits)
    }
}

#[cfg(test)]
mod schemas {
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use super::{Mode, Size, Time};

    impl JsonSchema for Time {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "Time".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "description": "A length of time: \"5s\", \"1m 30s\", \"250ms\".",
                "type": "string",
                "pattern": "^([0-9]+ *[A-Za-z]+ *)+$",
            })
        }
    }

    impl JsonSchema for Size {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "Size".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "description": "A size: \"64MiB\", \"1MB\", or a number of bytes.",
                "oneOf": [
                    { "type": "integer", "minimum": 0 },
                    { "type": "string", "pattern": "^[0-9.]+ *([kKmMgGtTpPeE]i?)?[bB]?$" },
                ],
            })
        }
    }

    impl JsonSchema for Mode {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "Mode".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "description": "The permissions of a file, in octal: \"0600\".",
                "type": "string",
                "pattern": "^(0o)?[0-7]{1,5}$",
            })
        }
    }
}
