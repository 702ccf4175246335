//! Processor time per million records with one to four observers, and what the exchange carries.

use std::time::{Duration, Instant};

use super::ground::{Ground, Settings, build, model, size};
use super::instance::{Instance, cpu};
use super::records::{Record, Records, names};
use super::{broker, number, table, wall};

const FEATURES: usize = 12;
const MODELS: usize = 8;
/// Records a second of event time.
const RATE: i64 = 1_000;
const CHECKS: &str = "    checks:
      - {name: drift, metric: psi, window: 60s, slide: 30s, min_samples: 100}
      - {name: missing, metric: null_rate, of: features, window: 60s, slide: 30s, bound: \"<= 0.05\"}
      - {name: traffic, metric: traffic_volume, window: 60s, slide: 30s}
";

#[test]
#[ignore = "needs a real broker: tests/kafka/measure.sh scale"]
fn real_scale_processor_time_for_each_million_records_with_one_to_four_observers() {
    let count: u64 = number("RECORDS", 500_000);
    let partitions: i32 = number("PARTITIONS", 12);
    let ground = Ground::new("scale", partitions);
    let models = names(MODELS);
    let begin = (wall() - 3_600_000) / 60_000 * 60_000;
    let mut records = Records::new(1, FEATURES);
    let reference: Vec<String> = (0..5_000).map(|_| records.value(&models[0], begin)).collect();
    ground.profiles(&reference, FEATURES, &models);
    let mut bytes = 0;
    ground.produce((0..count).map(|number| {
        let name = &models[records.below(MODELS)];
        let partition = records.below(partitions as usize) as i32;
        let value = records.value(name, begin + number as i64 * 1_000 / RATE);
        bytes += value.len() as u64;
        Record { partition, value }
    }));
    let millions = count as f64 / 1e6;
    let mut rows = Vec::new();
    for observers in 1..=number("OBSERVERS", 4) {
        let fleet = ground.fleet(&format!("{observers}"));
        let all: String = models
            .iter()
            .map(|name| {
                let file = format!("    profile: ../{name}.json\n");
                model(name, &ground.topic, FEATURES, "10s", &(file + CHECKS))
            })
            .collect();
        let queue: u32 = number("QUEUE", 0);
        let properties = match queue {
            0 => "{}".to_owned(),
            kilobytes => format!("{{queued.max.messages.kbytes: {kilobytes}}}"),
        };
        fleet.configure(Settings { lateness: "30s", properties: &properties, ..Settings::default() }, &all);
        fleet.run(&["topics", "create"]);
        let (broker_before, start) = (cpu(broker::id()), Instant::now());
        let evaluator = Instance::start(&fleet.config, "evaluator", "evaluate,act", 1);
        super::wait_for("the evaluator", Duration::from_secs(60), || evaluator.is_ready());
        let idle = evaluator.cpu();
        let mut fleets: Vec<Instance> = (0..observers)
            .map(|number| Instance::start(&fleet.config, &format!("observer-{number}"), "observe", 1))
            .collect();
        let within = Duration::from_secs(300);
        let read = Instant::now();
        super::wait_for("all records", within, || {
            fleets.iter_mut().for_each(Instance::assert_lives);
            fleet.unread() == 0
        });
        let read = read.elapsed();
        let each: Vec<f64> = fleets.iter().map(Instance::cpu).collect();
        let threads = fleets.iter().map(Instance::threads);
        let own: f64 = threads.map(|all| all.get("plimsoll-observ").copied().unwrap_or_default()).sum();
        let caught_up = Instant::now();
        let ends = fleet.ends_of_exchange();
        super::wait_for("the evaluator", within, || fleet.evaluated(&ends));
        let caught_up = caught_up.elapsed();
        let evaluator_cpu = evaluator.cpu() - idle;
        let memory = fleets.iter().map(|instance| instance.memory().1).max().unwrap_or_default();
        let whole: f64 = each.iter().sum();
        for instance in fleets {
            instance.terminate();
        }
        evaluator.terminate();
        assert_eq!(fleet.counted("used"), count, "each record is used once");
        let broker_cpu = cpu(broker::id()) - broker_before;
        let partials = size(&fleet.topic("partials"));
        let cell = |value: f64| format!("{value:.2}");
        rows.push([
            observers.to_string(),
            cell(whole / millions),
            cell(own / millions),
            format!("{:.2} to {:.2}", each.iter().copied().fold(f64::MAX, f64::min), spread_max(&each)),
            cell(evaluator_cpu / millions),
            cell(broker_cpu / millions),
            format!("{:.2} MB", partials.bytes as f64 / 1e6 / millions),
            format!("{:.0}", partials.messages as f64 / millions),
            format!("{:.0} MB", memory as f64 / 1e6),
            format!("{:.1} s", read.as_secs_f64()),
            format!("{:.1} s", caught_up.as_secs_f64()),
        ]);
        eprintln!("measure: {observers} observers took {:.0} s", start.elapsed().as_secs_f64());
    }
    table(
        &format!(
            "Scale: {count} records of {} bytes over {partitions} partitions, {MODELS} models of {FEATURES} numeric features, panes of \
             10 s with about {} records of a model, commit interval 1 s; {}. Processor seconds (user and system of the \
             whole process, starting included) are for a million records.",
            bytes / count,
            RATE * 10 / MODELS as i64,
            build()
        ),
        [
            "observers",
            "CPU s, all observers",
            "of it their own threads",
            "CPU s of one, least to most (not per million)",
            "CPU s, evaluator",
            "CPU s, broker",
            "partials",
            "messages",
            "peak memory of one",
            "all read after",
            "evaluator done after that",
        ],
        &rows,
    );
    ground.done();
}

fn spread_max(all: &[f64]) -> f64 {
    all.iter().copied().fold(0.0, f64::max)
}
