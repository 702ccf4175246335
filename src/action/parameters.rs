//! Named texts that a pipeline is given: what is configured, filled in, and the action's id beside it
//! under a name of its own, by which what was started is found again.

use std::collections::BTreeMap;

use crate::safety::{ActionKind, Reply};

use super::request::{Request, Template, TemplateError};

/// Why a pipeline cannot be given what is configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A text that is no template.
    #[error("`{name}` is no template")]
    Template {
        /// Its name.
        name: String,
        /// Why not.
        #[source]
        source: TemplateError,
    },
    /// A name that is taken by the action's id.
    #[error("`{name}` gets the action's id, and cannot be anything else")]
    Taken {
        /// The name.
        name: String,
    },
}

/// What a pipeline is given.
#[derive(Clone)]
pub(super) struct Parameters(Vec<(String, Template)>);

impl Parameters {
    /// `further` templates for actions of `kind`, and the action's id as `id`.
    pub(super) fn new(
        id: Option<&str>,
        further: &BTreeMap<String, String>,
        kind: ActionKind,
    ) -> Result<Self, Error> {
        let own = id.map(|name| (name.to_owned(), "{action_id}".to_owned()));
        if let Some((name, _)) = own.as_ref().filter(|(name, _)| further.contains_key(name)) {
            return Err(Error::Taken { name: name.clone() });
        }
        let all = further.iter().map(|(name, text)| (name.clone(), text.clone())).chain(own);
        let read = |(name, text): (String, String)| match Template::new(&text, kind) {
            Ok(template) => Ok((name, template)),
            Err(source) => Err(Error::Template { name, source }),
        };
        all.map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The texts for `request`, by name; refused where it lacks something that is named.
    pub(super) fn render(&self, request: &Request<'_>) -> Result<BTreeMap<String, String>, Reply> {
        let render = |(name, template): &(String, Template)| Ok((name.clone(), template.render(request)?));
        self.0.iter().map(render).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_actions_id_is_not_given_away() {
        let further = BTreeMap::from([("ID".to_owned(), "x".to_owned())]);
        let taken = Parameters::new(Some("ID"), &further, ActionKind::Retrain).err().unwrap();
        assert!(matches!(taken, Error::Taken { name } if name == "ID"));
        let wrong = BTreeMap::from([("V".to_owned(), "{to_version}".to_owned())]);
        let wrong = Parameters::new(Some("ID"), &wrong, ActionKind::Retrain).err().unwrap();
        assert_eq!(wrong.to_string(), "`V` is no template");
    }
}
