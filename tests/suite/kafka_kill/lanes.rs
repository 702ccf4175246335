//! Many stories side by side, each with topics and a group of its own: they mostly wait.

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;

use super::judge::{self, Tally};
use super::number;
use super::story::Story;

/// Plays all of `stories`, and adds up what they tell.
pub(super) fn play_all(stories: Vec<Story>) -> Tally {
    let left = Mutex::new(stories.into_iter());
    let sum = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..number("LANES", 8) {
            scope.spawn(|| {
                loop {
                    let Some(story) = left.lock().unwrap().next() else { break };
                    let played = std::panic::catch_unwind(AssertUnwindSafe(|| {
                        let told = story.play()?;
                        judge::judge(&told).map_err(|why| format!("{}: {why}", story.name))
                    }));
                    let tally = match played {
                        Ok(Ok(tally)) => tally,
                        Ok(Err(why)) => Tally::failed(why),
                        Err(_) => Tally::failed(format!("{}: a test helper has failed", story.name)),
                    };
                    sum.lock().unwrap().add(tally);
                }
            });
        }
    });
    sum.into_inner().unwrap()
}
