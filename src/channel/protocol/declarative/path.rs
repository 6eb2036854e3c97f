//! Where a value stands in what a channel sends: the paths of a channel file.

use super::format::BodyFormat;

/// Stands for the HTTP status of a reply.
const STATUS: &str = "@status";
/// Stands for the whole of a text.
const WHOLE: &str = "@body";

/// One place in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPlace {
    /// The HTTP status, three digits.
    Status,
    /// The whole text.
    Whole,
    /// The name of a form field, or the names of XML elements from the outermost inwards, `@name`
    /// for an attribute.
    Named(String),
    /// Of a JSON pointer (RFC 6901), the names and places on the way.
    Steps(Vec<String>),
    /// The same behind the name of a form field, whose text is JSON.
    InField(String, Vec<String>),
}

/// Where a value stands: one place or several, of which the first that has something counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    pub places: Vec<PathPlace>,
    /// Written with a `?` at its end: a reply may come without it.
    pub is_optional: bool,
}

impl Path {
    /// The error says what is wrong with the text.
    pub fn parse(text: &str, format: BodyFormat) -> Result<Self, String> {
        let (name, is_optional) = match text.strip_suffix('?') {
            Some(name) => (name, true),
            None => (text, false),
        };
        Ok(Self { places: vec![PathPlace::parse(name, format)?], is_optional })
    }

    /// The paths of a list as one: it finds what the first of them finds.
    pub fn first_of(paths: Vec<Self>) -> Result<Self, String> {
        let is_optional = paths.first().is_some_and(|path| path.is_optional);
        if paths.iter().any(|path| path.is_optional != is_optional) {
            return Err("has a `?` at some of its paths only (write all of them with it)".into());
        }
        let places: Vec<PathPlace> = paths.into_iter().flat_map(|path| path.places).collect();
        if places.is_empty() { Err("is empty".into()) } else { Ok(Self { places, is_optional }) }
    }

    /// Whether a message without a status, which a notice is, can never have it.
    pub fn needs_status(&self) -> bool {
        self.places.contains(&PathPlace::Status)
    }
}

impl PathPlace {
    pub fn parse(name: &str, format: BodyFormat) -> Result<Self, String> {
        if name == STATUS {
            return Ok(Self::Status);
        }
        match format {
            BodyFormat::Json if !name.starts_with('/') => {
                Err("is not a JSON pointer, which begins with a slash".to_owned())
            }
            BodyFormat::Json | BodyFormat::Form
                if name.starts_with('/') && has_bad_escape(name) =>
            {
                Err("has a `~` that is neither `~0` nor `~1` (RFC 6901)".to_owned())
            }
            BodyFormat::Xml if !name.starts_with('/') || name.len() == 1 => {
                Err("is not a path of elements, which begins with a slash".to_owned())
            }
            BodyFormat::Form if name.is_empty() => Err("names no field".to_owned()),
            BodyFormat::Form if name.starts_with('/') => {
                let mut steps = name.split('/').skip(1).map(unescaped);
                let field = steps.next().filter(|field| !field.is_empty());
                let steps: Vec<String> = steps.collect();
                match field.filter(|_| !steps.is_empty()) {
                    Some(field) => Ok(Self::InField(field, steps)),
                    None => Err("leads into no field: write /field/member".to_owned()),
                }
            }
            BodyFormat::Text if name != WHOLE => {
                Err("is not `@body`, the whole text, which is all that a text has".to_owned())
            }
            BodyFormat::Json => Ok(Self::Steps(name.split('/').skip(1).map(unescaped).collect())),
            BodyFormat::Form | BodyFormat::Xml => Ok(Self::Named(name.to_owned())),
            BodyFormat::Text => Ok(Self::Whole),
        }
    }
}

/// One value that a signature is or covers: by its name at the top of a body, or by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inside {
    Top(String),
    At(PathPlace),
}

impl Inside {
    /// A name, or a path that begins with a slash. The error says what is wrong with the text.
    pub fn parse(text: &str, format: BodyFormat) -> Result<Self, String> {
        match format {
            BodyFormat::Json | BodyFormat::Xml if text.starts_with('/') => {
                PathPlace::parse(text, format).map(Self::At)
            }
            _ if text.is_empty() || text.starts_with('@') => Err("names no value".to_owned()),
            BodyFormat::Text => Err("is in a text, which has no values".to_owned()),
            BodyFormat::Json | BodyFormat::Xml | BodyFormat::Form => Ok(Self::Top(text.to_owned())),
        }
    }

    /// The member at the top of a body in which a path leads on, with all of its places; `None`
    /// where it does not.
    pub fn member_of(path: &Path) -> Option<Self> {
        let member = |place: &PathPlace| {
            let steps = place.steps();
            // An XML path names the outermost element first.
            let front = usize::from(matches!(place, PathPlace::Named(_)));
            (steps.len() > front + 1).then(|| steps[front].clone())
        };
        let mut members = path.places.iter().map(member);
        let first = members.next()??;
        members.all(|one| one.as_ref() == Some(&first)).then_some(Self::Top(first))
    }

    /// The value's own name where it stands directly in an object, or at the top.
    pub fn name_in(&self, parent: Option<&Self>) -> Option<String> {
        let (name, own_parent) = match self {
            Self::Top(name) => (name.clone(), Vec::new()),
            Self::At(place) => {
                let mut steps = place.steps();
                (steps.pop()?, steps)
            }
        };
        let wanted = match parent {
            None => Vec::new(),
            Some(Self::Top(name)) => vec![name.clone()],
            Some(Self::At(place)) => place.steps(),
        };
        (own_parent == wanted).then_some(name)
    }

    /// Whether a value is this one or inside it.
    pub fn holds(&self, place: &PathPlace) -> bool {
        let steps = place.steps();
        match self {
            Self::Top(name) => {
                let front = usize::from(matches!(place, PathPlace::Named(_)));
                steps.get(front) == Some(name)
            }
            Self::At(own) => steps.starts_with(&own.steps()),
        }
    }
}

impl PathPlace {
    /// The names on the way, from the outermost.
    pub fn steps(&self) -> Vec<String> {
        match self {
            Self::Steps(steps) => steps.clone(),
            Self::InField(field, steps) => [std::slice::from_ref(field), steps].concat(),
            Self::Named(name) => {
                name.trim_start_matches('/').split('/').map(str::to_owned).collect()
            }
            Self::Status | Self::Whole => Vec::new(),
        }
    }
}

/// A step of a JSON pointer as it is meant (RFC 6901 §4).
fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

fn has_bad_escape(pointer: &str) -> bool {
    pointer.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_pointer_a_field_elements_or_a_word() {
        let parse = Path::parse;
        assert!(parse("/a/0/b?", BodyFormat::Json).is_ok_and(|path| path.is_optional));
        for wrong in ["code", "", "?", "/a~2", "/a~", "@body", "@state"] {
            assert!(parse(wrong, BodyFormat::Json).is_err(), "{wrong}");
        }
        assert!(parse("code", BodyFormat::Form).is_ok_and(|path| !path.is_optional));
        assert!(parse("?", BodyFormat::Form).is_err());
        assert!(parse("/content/a/0?", BodyFormat::Form).is_ok_and(|path| path.is_optional));
        for wrong in ["/", "/content", "//a", "/content/a~2"] {
            assert!(parse(wrong, BodyFormat::Form).is_err(), "{wrong}");
        }
        assert!(parse("/a/@b?", BodyFormat::Xml).is_ok());
        assert!(parse("/", BodyFormat::Xml).is_err() && parse("a", BodyFormat::Xml).is_err());
        assert!(parse("@body", BodyFormat::Text).is_ok());
        assert!(parse("/a", BodyFormat::Text).is_err());
        for format in [BodyFormat::Json, BodyFormat::Form, BodyFormat::Xml, BodyFormat::Text] {
            assert!(parse("@status", format).is_ok_and(|path| path.needs_status()));
        }
    }

    #[test]
    fn several_paths_are_optional_together() {
        let path = |text| Path::parse(text, BodyFormat::Json).expect("a path");
        let pair = Path::first_of(vec![path("/a?"), path("/b?")]).expect("a path");
        assert!(pair.is_optional && pair.places.len() == 2);
        let both = |one, two| Path::first_of(vec![path(one), path(two)]);
        let inside = |one, two| Inside::member_of(&both(one, two).ok()?);
        assert_eq!(inside("/a/x", "/a/y"), Some(Inside::Top("a".to_owned())));
        assert_eq!((inside("/a/x", "/b/y"), inside("/a/x", "/a")), (None, None));
        assert!(Path::first_of(vec![path("/a?"), path("/b")]).is_err());
        assert!(Path::first_of(vec![]).is_err());
    }
}
