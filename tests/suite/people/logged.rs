//! Tokens stand in no log line, no answer, no error and no debug output.

use std::io;
use std::sync::{Arc, Mutex};

use plimsoll::api::Anonymous;
use plimsoll::safety::Role;
use tracing_subscriber::fmt::MakeWriter;

use super::FREEZE;
use super::world::{Token, World};

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

// One thread, so that everything that is logged is logged under the subscriber of this test.
#[tokio::test]
async fn no_token_stands_in_a_log_an_answer_or_a_debug_output() {
    let kept = Kept::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(kept.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let mut world = World::new();
    world.anonymous(Anonymous::None);
    let server = world.serve().await;
    let wrong = Token::new("wrong", Role::Viewer);
    let mut seen = String::new();
    for token in [&world.viewer, &world.operator, &world.approver, &wrong] {
        for answer in [
            server.order(Some(token), FREEZE).await,
            server.get("/", Some(token)).await,
            server.get(&format!("/api/v1/models?token={}", token.text), Some(token)).await,
            server.get(&format!("/{}", token.text), None).await,
            server.send("GET", "/metrics", &token.basic(), "").await,
            server.send("POST", "/-/reload", &token.header(), "").await,
            server
                .order(
                    Some(token),
                    &format!(r#"{{"order": {{"do": "freeze"}}, "reason": "{}"}}"#, token.text),
                )
                .await,
            server.order(Some(token), &format!(r#"{{"{}": 1}}"#, token.text)).await,
        ] {
            seen += &answer.head;
            seen += &answer.body;
        }
    }
    let logged = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("a token that is not known"), "{logged}");
    assert!(logged.contains("an order was taken") && logged.contains("bob"), "{logged}");
    let debug = format!("{:?} {:?} {:?}", world.services(), world.access, world.commands);
    for token in [&world.viewer, &world.operator, &world.approver, &wrong] {
        let digest: String = token.configured().sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        for secret in [&token.text, &digest, &token.basic()[21..].trim().to_owned()] {
            for text in [&logged, &debug, &seen] {
                // The head of an answer is kept in lower case.
                assert!(!text.to_lowercase().contains(&secret.to_lowercase()), "{} in {text}", token.name);
            }
        }
    }
}
