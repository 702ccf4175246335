//! Where in a record a value is found: a JSON pointer (RFC 6901) in which a segment `*` stands for
//! each element of a batch request's array, a record header, or a constant.

use std::fmt;
use std::str::FromStr;

/// One segment of a pointer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// The member of this name, or the element at this position where the value is an array.
    Key(String),
    /// Each element of an array, one row each: written `*`.
    Each,
}

/// A JSON pointer with at most one `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer(Vec<Segment>);

impl Pointer {
    /// Its segments with `~0` and `~1` resolved; at least one.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether it gives one value for each row of a batch request.
    pub fn is_per_row(&self) -> bool {
        self.0.contains(&Segment::Each)
    }
}

impl FromStr for Pointer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(rest) = text.strip_prefix('/') else {
            let near = if text.is_empty() || text.contains([':', '=', ' ']) {
                String::new()
            } else {
                format!("; did you mean `/{}`?", text.trim_start_matches("$.").replace('.', "/"))
            };
            return Err(format!("`{text}` is not a JSON pointer: it begins with `/`{near}"));
        };
        let mut segments = Vec::new();
        for segment in rest.split('/') {
            if segment == "*" {
                segments.push(Segment::Each);
                continue;
            }
            let mut key = String::new();
            let mut letters = segment.chars();
            while let Some(letter) = letters.next() {
                key.push(match letter {
                    '~' => match letters.next() {
                        Some('0') => '~',
                        Some('1') => '/',
                        _ => {
                            return Err(format!(
                                "`{text}`: write `~0` for `~` and `~1` for `/` inside a name"
                            ));
                        }
                    },
                    other => other,
                });
            }
            segments.push(Segment::Key(key));
        }
        if segments.iter().filter(|segment| **segment == Segment::Each).count() > 1 {
            return Err(format!("`{text}` has more than one `*`: a record holds one level of rows"));
        }
        Ok(Self(segments))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0 {
            match segment {
                Segment::Key(key) => write!(f, "/{}", key.replace('~', "~0").replace('/', "~1"))?,
                Segment::Each => f.write_str("/*")?,
            }
        }
        Ok(())
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldSource {
    /// A place in the record's JSON value.
    Pointer(Pointer),
    /// A header of the record, by its exact name; written `header:NAME`.
    Header(String),
    /// Always this text; written `=text`.
    Literal(String),
}

impl FromStr for FieldSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(name) = text.strip_prefix("header:") {
            return match name {
                "" => Err("`header:` lacks the header's name".into()),
                name => Ok(Self::Header(name.to_owned())),
            };
        }
        if let Some(literal) = text.strip_prefix('=') {
            return match literal {
                "" => Err("`=` lacks the text that it stands for".into()),
                literal => Ok(Self::Literal(literal.to_owned())),
            };
        }
        let or = |wrong| format!("{wrong} (or write `header:NAME` for a header, `=text` for a constant)");
        text.parse().map(Self::Pointer).map_err(|wrong| if text.starts_with('/') { wrong } else { or(wrong) })
    }
}

impl From<Pointer> for FieldSource {
    fn from(pointer: Pointer) -> Self {
        Self::Pointer(pointer)
    }
}

impl fmt::Display for FieldSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pointer(pointer) => pointer.fmt(f),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Literal(text) => write!(f, "={text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        for text in ["/a", "/a~1b/m~0n/0", "/instances/*/income", "//", "header:X-Model", "=v1"] {
            assert_eq!(text.parse::<FieldSource>().map(|source| source.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(
            "/a~1b/*".parse::<Pointer>().map(|pointer| pointer.segments().to_vec()),
            Ok(vec![Segment::Key("a/b".into()), Segment::Each])
        );
    }

    #[test]
    fn says_what_was_probably_meant() {
        for (text, word) in [
            ("", "begins with `/`"),
            ("model.name", "did you mean `/model/name`?"),
            ("$.features.income", "did you mean `/features/income`?"),
            ("/a/~2", "`~0` for `~`"),
            ("/a~", "`~0` for `~`"),
            ("/*/b/*", "more than one `*`"),
            ("header:", "lacks the header's name"),
            ("=", "lacks the text"),
        ] {
            let wrong = text.parse::<FieldSource>().unwrap_err();
            assert!(wrong.contains(word), "{text}: {wrong}");
        }
    }
}
