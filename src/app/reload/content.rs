//! What stands in the control topic: everything that an instance needs to run the same models as the one
//! that published them, without its files. References and calibrations go along as they are, and the
//! configuration names them by what they hold, so that their places do not matter.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::app::pipeline::{TopicSpec, models};
use crate::app::{compile, several};
use crate::config::{self, Config};
use crate::domain::EventTime;
use crate::engine::{Generation, ModelSpec};
use crate::profile::Profile;

/// The format that is written, and the only one so far.
const FORMAT: u32 = 1;

/// What of a model is not in the configuration itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Files {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calibration: Option<String>,
}

/// The part of a configuration that may change while everything runs, with what it refers to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    configuration: Value,
    /// By model.
    files: BTreeMap<String, Files>,
}

/// A content as the engine runs it.
#[derive(Debug)]
pub struct Compiled {
    /// Which generation it is.
    pub generation: Generation,
    /// The input topics with their models.
    pub topics: Vec<TopicSpec>,
    /// What it was compiled from.
    pub config: Config,
}

impl Compiled {
    /// The models, each once.
    pub fn models(&self) -> Vec<Arc<ModelSpec>> {
        models(&self.topics)
    }
}

/// A generation as it stands in the control topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    format: u32,
    /// Its number, hash and time.
    pub generation: Generation,
    /// The instance that published it.
    pub by: String,
    /// When, by its clock.
    pub at: EventTime,
    /// What it holds.
    pub content: Content,
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Content {
    /// What `config` holds; `profiles` gives references that are not in files.
    ///
    /// # Errors
    /// When a file that it names cannot be read or is not of its kind, for every model.
    pub fn of(config: &Config, profiles: &BTreeMap<String, Profile>) -> anyhow::Result<Self> {
        let (mut configuration, mut files, mut errors) = (config.part.clone(), BTreeMap::new(), Vec::new());
        for (index, model) in config.models.iter().enumerate() {
            match files_of(model, profiles.get(&model.name)) {
                Ok(found) => {
                    let place = &mut configuration["models"][index];
                    for (key, text) in [("profile", &found.profile), ("calibration", &found.calibration)] {
                        if let Some(text) = text {
                            place[key] = format!("sha256:{}", digest(text.as_bytes())).into();
                        }
                    }
                    if found != Files::default() {
                        files.insert(model.name.clone(), found);
                    }
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self { configuration, files }) } else { Err(several(&errors)) }
    }

    /// SHA-256 of all of it.
    pub fn hash(&self) -> String {
        digest(&serde_json::to_vec(self).expect("values, texts and names always serialize"))
    }

    /// As the engine runs it.
    ///
    /// # Errors
    /// When it is not one that this build can run.
    pub fn compile(&self, generation: Generation) -> anyhow::Result<Compiled> {
        let config = config::of_part(&self.configuration)?;
        let (mut profiles, mut calibrations) = (BTreeMap::new(), BTreeMap::new());
        for (model, files) in &self.files {
            if let Some(text) = &files.profile {
                let profile = Profile::from_json(text.as_bytes())
                    .with_context(|| format!("the reference profile of `{model}`"))?;
                profiles.insert(model.clone(), profile);
            }
            if let Some(text) = &files.calibration {
                calibrations.insert(model.clone(), text.clone().into_bytes());
            }
        }
        let topics = compile::topics_with(&config, &profiles, Some(&calibrations))
            .map_err(|errors| several(&errors))?;
        Ok(Compiled { generation, topics, config })
    }
}

fn files_of(model: &config::Model, given: Option<&Profile>) -> Result<Files, compile::Error> {
    let read = |path: &Path| compile::read_profile(&model.name, path);
    let profile = match (given, &model.profile) {
        (Some(profile), _) => Some(profile.clone()),
        (None, Some(path)) => Some(read(path)?),
        (None, None) => None,
    };
    // Compact: the indentation of a profile is half of its bytes.
    let profile = profile.map(|profile| {
        serde_json::to_string(&profile).expect("a profile holds only finite numbers and text")
    });
    let calibration = match &model.calibration {
        Some(path) => compile::read_calibration(&model.name, path)?,
        None => None,
    };
    let calibration = calibration.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Files { profile, calibration })
}

impl Published {
    /// `content` as generation `generation`, published by instance `by` at wall time `at`.
    pub fn new(generation: Generation, by: &str, at: i64, content: Content) -> Self {
        Self { format: FORMAT, generation, by: by.to_owned(), at: EventTime::from_millis(at), content }
    }

    /// As the bytes of a message.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("values, texts and names always serialize")
    }

    /// From the bytes of a message; none where they are no message of ours.
    ///
    /// # Errors
    /// When another build wrote it that this one does not understand, or it was changed.
    pub fn decode(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let Ok(Head { format }) = serde_json::from_slice(bytes) else { return Ok(None) };
        if format != FORMAT {
            bail!("it has format {format}, and this build reads {FORMAT}: run one version of plimsoll");
        }
        let published: Self =
            serde_json::from_slice(bytes).context("another version of plimsoll may have written it")?;
        let hash = published.content.hash();
        if hash != published.generation.hash {
            bail!("its content has the hash {hash}, and it says {}", published.generation.hash);
        }
        Ok(Some(published))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
topics: [{name: t, model: /m}]
models:
  - name: credit
    topics: [t]
    task: binary
    version: /v
    time: {from: /ts, unit: ms}
    prediction: {from: /p, positive: "yes"}
    calibration: CALIBRATION
    profile: PROFILE
    features: [{name: x, from: /x, type: numeric}]
    checks: [{name: volume, metric: traffic_volume, window: 1h, slide: 5m}]
"#;

    fn read(text: &str) -> Config {
        config::parse(text, Path::new("/nowhere/plimsoll.yaml"), []).unwrap()
    }

    #[test]
    fn a_content_comes_back_from_the_topic_as_it_was_and_one_that_was_changed_does_not() {
        let bare = TEXT.replace("    calibration: CALIBRATION\n    profile: PROFILE\n", "");
        let content = Content::of(&read(&bare), &BTreeMap::new()).unwrap();
        let generation = Generation { number: 1, hash: content.hash(), effective_from: None };
        let published = Published::new(generation.clone(), "one", 1_000, content);
        let bytes = published.encode();
        assert_eq!(Published::decode(&bytes).unwrap().unwrap(), published);
        let compiled = published.content.compile(generation).unwrap();
        assert_eq!(compiled.models().len(), 1);
        let text = String::from_utf8(bytes).unwrap();
        let changed = Published::decode(text.replace("\"5m\"", "\"6m\"").as_bytes()).unwrap_err();
        assert!(changed.to_string().contains("has the hash"), "{changed}");
        let newer =
            Published::decode(text.replacen("\"format\":1", "\"format\":2", 1).as_bytes()).unwrap_err();
        assert!(newer.to_string().contains("run one version"), "{newer}");
        assert_eq!(Published::decode(b"hello").unwrap(), None);
    }

    #[test]
    fn a_reference_that_is_not_there_is_an_error_that_names_the_model() {
        let wrong = Content::of(&read(TEXT), &BTreeMap::new()).unwrap_err().to_string();
        assert!(wrong.contains("models[credit].profile"), "{wrong}");
    }
}
