//! The metrics of a node, for Prometheus.
//!
//! Labels have few values: known paths, checks, and roles of the policy. No label contains anything that a client sends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

type Labels<const N: usize> = [(&'static str, String); N];
type Steps = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// How long a count of all devices is reused. Counting reads the whole table.
const KEPT: Duration = Duration::from_secs(60);

/// The counters of one node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels<2>, Counter>,
    refused: Family<Labels<1>, Counter>,
    issued: Family<Labels<2>, Counter>,
    seconds: Steps,
    sign_queue: Gauge,
    devices: Family<Labels<1>, Gauge>,
    krl_number: Gauge,
    krl_age: Gauge,
    /// When the last list was made, in seconds since 1970; 0 before the first.
    krl_made: AtomicU64,
    regressions: Counter,
    ticket_key_age: Gauge,
    counted: Mutex<Option<Instant>>,
}

/// The values that are looked up for each scrape.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// Devices by their state.
    pub(crate) devices: Option<Vec<(String, i64)>>,
    /// The number of the list of revoked keys, and when it was made, in seconds since 1970.
    pub(crate) krl: Option<(u64, u64)>,
    /// The time, in seconds since 1970.
    pub(crate) now: u64,
    /// The age of the keys that seal challenges, in seconds.
    pub(crate) ticket_key_age: u64,
}

fn buckets() -> Histogram {
    Histogram::new([0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0])
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut all = Self {
            registry: Registry::default(),
            requests: Family::default(),
            refused: Family::default(),
            issued: Family::default(),
            seconds: Steps::new_with_constructor(buckets),
            sign_queue: Gauge::default(),
            devices: Family::default(),
            krl_number: Gauge::default(),
            krl_age: Gauge::default(),
            krl_made: AtomicU64::new(0),
            regressions: Counter::default(),
            ticket_key_age: Gauge::default(),
            counted: Mutex::new(None),
        };
        let to = &mut all.registry;
        to.register(
            "tpmssh_ca_requests",
            "Requests by path and status",
            all.requests.clone(),
        );
        to.register(
            "tpmssh_ca_refused",
            "Refused requests by check",
            all.refused.clone(),
        );
        to.register(
            "tpmssh_ca_issued",
            "Answers with a certificate",
            all.issued.clone(),
        );
        to.register(
            "tpmssh_ca_seconds",
            "Time of a step of a request",
            all.seconds.clone(),
        );
        to.register(
            "tpmssh_ca_sign_queue",
            "Requests that wait for a worker",
            all.sign_queue.clone(),
        );
        to.register("tpmssh_ca_devices", "Devices by state", all.devices.clone());
        to.register(
            "tpmssh_ca_krl_number",
            "Number of the list of revoked keys",
            all.krl_number.clone(),
        );
        to.register(
            "tpmssh_ca_krl_age_seconds",
            "Age of the list of revoked keys",
            all.krl_age.clone(),
        );
        to.register(
            "tpmssh_ca_time_regressions",
            "TPMs whose time went back",
            all.regressions.clone(),
        );
        to.register(
            "tpmssh_ca_ticket_key_age_seconds",
            "Age of the keys that seal challenges",
            all.ticket_key_age.clone(),
        );
        all
    }

    pub(crate) fn request(&self, path: &'static str, status: u16) {
        let labels = [("path", path.to_owned()), ("code", status.to_string())];
        self.requests.get_or_create(&labels).inc();
    }

    pub(crate) fn refused(&self, check: String) {
        if check == "V14" {
            self.regressions.inc();
        }
        self.refused.get_or_create(&[("check", check)]).inc();
    }

    pub(crate) fn issued(&self, kind: &str, role: &str) {
        let labels = [("kind", kind.to_owned()), ("role", role.to_owned())];
        self.issued.get_or_create(&labels).inc();
    }

    /// Records how long `step` took: `verify`, `db` or `sign`.
    pub(crate) fn took(&self, step: &'static str, time: Duration) {
        let histogram = self.seconds.get_or_create(&[("step", step.to_owned())]);
        histogram.observe(time.as_secs_f64());
    }

    /// The gauge of requests that wait for a worker.
    pub(crate) fn sign_queue(&self) -> Gauge {
        self.sign_queue.clone()
    }

    /// Whether the devices have to be counted again. Then this counts as the time of the last count.
    pub(crate) fn counts_devices(&self) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = counted.is_none_or(|it| it.elapsed() >= KEPT);
        if is_time {
            *counted = Some(Instant::now());
        }
        is_time
    }

    /// All metrics in the text format of OpenMetrics.
    pub(crate) fn text(&self, looked: Looked) -> String {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for (state, count) in looked.devices.unwrap_or_default() {
            self.devices.get_or_create(&[("state", state)]).set(count);
        }
        if let Some((number, made)) = looked.krl {
            self.krl_number.set(signed(number));
            self.krl_made.store(made, Ordering::Relaxed);
        }
        // The age also grows while no list can be made, which triggers an alert.
        let made = self.krl_made.load(Ordering::Relaxed);
        if made > 0 {
            self.krl_age.set(signed(looked.now.saturating_sub(made)));
        }
        self.ticket_key_age.set(signed(looked.ticket_key_age));
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
