//! On Apache Kafka itself: tests/kafka/run.sh starts it, and sets the variable that is read here.

use plimsoll::exchange::topics::{Retention, Topic, ensure};
use plimsoll::exchange::transaction::{Finish, Transactor};

use super::*;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn transactor(client: &ClientConfig, id: &str) -> Transactor {
    let mut transactor = Transactor::new(client, id).unwrap();
    let start = Instant::now();
    while !transactor.init(Duration::from_secs(1)).unwrap() {
        assert!(start.elapsed() < PATIENCE, "the id was not taken");
    }
    transactor
}

fn finish(transactor: &mut Transactor) {
    let start = Instant::now();
    while matches!(transactor.finish(Duration::from_millis(200)).unwrap(), Finish::Pending) {
        assert!(start.elapsed() < PATIENCE, "the transaction does not end");
    }
}

#[test]
#[ignore = "needs Apache Kafka: tests/kafka/run.sh"]
fn an_open_transaction_is_named_and_what_is_behind_it_stays_out_until_it_ends() {
    let brokers = std::env::var("PLIMSOLL_TEST_KAFKA").expect("tests/kafka/run.sh sets PLIMSOLL_TEST_KAFKA");
    let client = connect(&brokers);
    let name = format!("inspected-{}", std::process::id());
    let topic =
        Topic { name: name.clone(), partitions: Some(1), retention: Retention::Forever, ..Topic::default() };
    block_on(ensure(&client, &[topic], true, PATIENCE)).unwrap();
    let mut one = transactor(&client, &format!("{name}.one"));
    let say = |transactor: &mut Transactor, value: &str| {
        transactor.send(&name, Some(0), Some(b"k"), Some(value.as_bytes()), &[]).unwrap();
    };
    one.begin().unwrap();
    say(&mut one, "a");
    finish(&mut one);
    // Offset 1 is the mark of the first transaction.
    let mut two = transactor(&client, &format!("{name}.two"));
    two.begin().unwrap();
    say(&mut two, "b");
    let range = Range { topic: &name, ..everything() };
    let start = Instant::now();
    let found = loop {
        let found = seen(&client, &range, |_| false).unwrap();
        if !found.open.is_empty() || start.elapsed() > PATIENCE {
            break found;
        }
    };
    assert_eq!(found.values, ["a"]);
    assert_eq!((found.open, found.ends), (vec![(0, 2, 1)], 1));
    finish(&mut two);
    let found = seen(&client, &range, |_| false).unwrap();
    assert_eq!((found.values, found.open.len()), (own(&["a", "b"]), 0));
}
