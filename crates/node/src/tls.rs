//! The certificates in use: exchanging them, and their metric.

use core::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use trunkline_edge::Certificates;

use crate::config::Tls;

/// The certificates of each port with TLS, by the port's name in metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct PortCertificates(pub(crate) Vec<(&'static str, Certificates)>);

impl PortCertificates {
    /// Exchanges the certificates of all ports that have some. Ports do not change between plain
    /// and TLS while the node runs.
    pub(crate) fn replace(&self, tls: &Tls) {
        for (port, certificates) in &self.0 {
            let loaded = match *port {
                "public" => &tls.public,
                "trunks" => &tls.trunks,
                _ => &tls.admin,
            };
            if let Some(loaded) = loaded {
                certificates.replace(loaded.clone());
            }
        }
    }
}

impl Collector for PortCertificates {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let about = "When certificates expire, in seconds of the Unix epoch";
        let value = ConstGauge::<i64>::new(0);
        let mut metric = encoder.encode_descriptor(
            "trunkline_tls_certificate_expiry_timestamp",
            about,
            Some(&Unit::Seconds),
            value.metric_type(),
        )?;
        for (port, certificates) in &self.0 {
            for one in certificates.certificates() {
                let file = one.path.file_name().unwrap_or_default().to_string_lossy();
                let labels = [("port", *port), ("file", &*file)];
                ConstGauge::new(one.ends_s).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
