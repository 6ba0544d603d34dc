//! What compression adds to a delivery.

use serde::{Deserialize, Serialize};

use super::{Figures, Plan, over, spell};
use crate::cli::bench::compression::Cost;

/// What compression adds to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Compressed {
    /// What a subscriber is sent, before and after.
    pub message_bytes: usize,
    pub deflated_bytes: usize,
    /// One compression of it, measured in the generator's process.
    pub one_us: f64,
    /// Each publication is compressed once and delivered so often.
    pub deliveries: f64,
    /// A compressed delivery in times of an uncompressed one; less the delivery's part of that one compression.
    pub ratio: Option<f64>,
    pub ratio_without_compressing: Option<f64>,
}

impl Compressed {
    pub fn of(plan: &Plan, message: &[u8], compressed: &Figures, uncompressed: Option<&Figures>) -> Self {
        let cost = Cost::measure(message);
        let deliveries =
            plan.connections as f64 * f64::from(plan.shape.subscriptions) / f64::from(plan.shape.channels);
        let plain = uncompressed.and_then(|figures| figures.cpu_us);
        Self {
            message_bytes: cost.message_bytes,
            deflated_bytes: cost.deflated_bytes,
            one_us: cost.us,
            deliveries,
            ratio: over(compressed.cpu_us, plain),
            ratio_without_compressing: over(compressed.cpu_us.map(|us| us - cost.us / deliveries), plain),
        }
    }

    /// As a line below the table.
    pub fn words(&self) -> String {
        let Self { message_bytes, deflated_bytes, one_us, deliveries, .. } = self;
        let number = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        format!(
            "compressed is {} x uncompressed. One compression ({message_bytes} bytes to {deflated_bytes}) takes {} us, \
             which is {} us of each of its {deliveries} deliveries: without it {} x",
            number(self.ratio),
            spell(*one_us),
            spell(one_us / deliveries),
            number(self.ratio_without_compressing),
        )
    }
}
