//! What a record and a window cost. One binary, because each further one links every dependency
//! anew.
//!
//! `cargo bench --bench hot` times the stages with criterion; `cargo bench --bench hot -- end_to_end`
//! replays a million records and prints records per CPU second and peak memory, `-- exchange` prints
//! what an evaluator's work grows with. Criterion measures wall time, so its figures want an idle
//! machine; the last two count CPU time.

mod counting;
mod decoding;
mod end_to_end;
mod evaluating;
mod exchange;
mod model;
mod process;
mod rows;
mod scoring;
mod sequential;

use criterion::Criterion;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    // `cargo test --benches` runs every benchmark once to see that it still works.
    let rows = if arguments.iter().any(|argument| argument == "--test") { 20_000 } else { 1_000_000 };
    if filter.is_some_and(|filter| filter == end_to_end::NAME) {
        return end_to_end::run(rows);
    }
    if filter.is_some_and(|filter| filter == exchange::NAME) {
        return exchange::run(rows / 10);
    }
    let mut criterion = Criterion::default().configure_from_args();
    decoding::benches(&mut criterion);
    counting::benches(&mut criterion);
    evaluating::benches(&mut criterion);
    scoring::benches(&mut criterion);
    sequential::benches(&mut criterion);
    criterion.final_summary();
    if filter.is_none() && !arguments.iter().any(|argument| argument == "--list") {
        end_to_end::run(rows);
        exchange::run(rows / 10);
    }
}
