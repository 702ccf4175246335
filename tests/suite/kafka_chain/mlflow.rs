//! A registered model in MLflow: its versions, and the alias that says which of them serves.

use serde_json::{Value, json};

use super::env;
use super::planted::secret;
use super::web::{Login, ask, get};

/// What the server of the model follows.
pub(super) const ALIAS: &str = "champion";

/// One registered model.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    url: String,
    pub(super) model: String,
    source: String,
    run: String,
}

fn admin() -> Login {
    Login::Basic("admin", secret("mlflow-admin"))
}

impl Registry {
    /// Registers `model` with so many versions, which `plimsoll` may edit and everybody may read.
    pub(super) fn new(model: &str, versions: u32) -> Self {
        let url = env("PLIMSOLL_CHAIN_MLFLOW");
        let mut registry = Self { url, model: model.to_owned(), source: String::new(), run: String::new() };
        registry.admin("2.0/mlflow/registered-models/create", &json!({"name": model}));
        let made = registry.admin("2.0/mlflow/runs/create", &json!({"experiment_id": "0"}));
        registry.run = made["run"]["info"]["run_id"].as_str().unwrap().to_owned();
        registry.source = format!("{}/model", made["run"]["info"]["artifact_uri"].as_str().unwrap());
        let grant = json!({
            "username": "plimsoll",
            "resource_type": "registered_model",
            "resource_id": model,
            "permission": "EDIT",
        });
        registry.admin("3.0/mlflow/users/permissions/grant", &grant);
        (0..versions).for_each(|_| registry.add_version());
        registry
    }

    /// One more version, with the next number.
    pub(super) fn add_version(&self) {
        let version = json!({"name": self.model, "source": self.source, "run_id": self.run});
        let made = self.admin("2.0/mlflow/model-versions/create", &version);
        assert_eq!(made["model_version"]["status"], "READY", "{made}");
    }

    /// A person makes a version the one that serves.
    pub(super) fn promote(&self, version: u32) {
        let alias = json!({"name": self.model, "alias": ALIAS, "version": version.to_string()});
        self.admin("2.0/mlflow/registered-models/alias", &alias);
    }

    /// Nothing serves any more.
    pub(super) fn remove_alias(&self) {
        let alias = json!({"name": self.model, "alias": ALIAS});
        get("DELETE", &self.at("2.0/mlflow/registered-models/alias"), &admin(), Some(&alias));
    }

    /// The version that serves, as whoever serves it reads that; none where there is no alias.
    pub(super) fn serving(&self) -> Option<u32> {
        let reader = Login::Basic("reader", secret("mlflow-reader"));
        let path = format!("2.0/mlflow/registered-models/alias?name={}&alias={ALIAS}", self.model);
        let (status, value) = ask("GET", &self.at(&path), &reader, None).ok()?;
        (status == 200).then(|| value["model_version"]["version"].as_str().unwrap().parse().unwrap())
    }

    /// The tags of a version.
    pub(super) fn tags(&self, version: u32) -> Value {
        let path = format!("2.0/mlflow/model-versions/get?name={}&version={version}", self.model);
        get("GET", &self.at(&path), &admin(), None)["model_version"]["tags"].clone()
    }

    fn at(&self, path: &str) -> String {
        format!("{}/api/{path}", self.url)
    }

    fn admin(&self, path: &str, body: &Value) -> Value {
        get("POST", &self.at(path), &admin(), Some(body))
    }
}
