//! People's orders where no topic joins those who take them with the one who acts: they are handed over
//! in memory, and count as given once the actor says that they are in its log.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::api::commands::{Deliver, NotDurable};
use crate::safety::Command;

/// Orders that may wait for the actor.
const WAITING: usize = 64;
/// How long the actor may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// An order that was handed over.
#[derive(Debug)]
pub struct Handed {
    /// The order.
    pub command: Command,
    done: SyncSender<()>,
}

impl Handed {
    /// Says that the order is in the log.
    pub fn durable(self) {
        // Whoever gave it may have gone away meanwhile.
        let _gone = self.done.send(());
    }
}

/// What the HTTP interface is given, and where its orders come out.
pub fn direct() -> (Deliver, Receiver<Handed>) {
    let (sender, handed) = sync_channel(WAITING);
    let deliver = move |command: &Command| {
        let (done, durable) = sync_channel(1);
        let wrong = |why: &str| NotDurable(why.to_owned());
        sender
            .try_send(Handed { command: command.clone(), done })
            .map_err(|_| wrong("the actor does not take orders"))?;
        durable.recv_timeout(PATIENCE).map_err(|_| wrong("the actor has not said that it took the order"))
    };
    (Arc::new(deliver), handed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::safety::{Order, Role};

    #[test]
    fn an_order_counts_once_the_actor_has_it_and_not_when_it_lets_it_fall() {
        let (deliver, handed) = direct();
        let command = Command {
            id: "c1".into(),
            at: 1,
            who: "alice".into(),
            role: Role::Operator,
            reason: "why".into(),
            order: Order::Freeze,
        };
        let actor = std::thread::spawn(move || {
            let first = handed.recv().unwrap();
            assert_eq!(first.command.id, "c1");
            first.durable();
            drop(handed.recv().unwrap());
            handed
        });
        deliver(&command).unwrap();
        assert!(deliver(&command).is_err(), "the actor let it fall");
        drop(actor.join().unwrap());
        assert!(deliver(&command).is_err(), "the actor is gone");
    }
}
