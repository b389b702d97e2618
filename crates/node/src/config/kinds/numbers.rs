//! Numbers, sizes and times, each between two bounds.

use core::marker::PhantomData;
use core::time::Duration;

use super::{ValueKind, units};

/// A whole number between two bounds, inclusive.
pub(crate) struct Count<T>(pub(crate) u64, pub(crate) u64, PhantomData<T>);

impl<T> Count<T> {
    pub(crate) const fn between(least: u64, most: u64) -> Self {
        Self(least, most, PhantomData)
    }
}

impl<T: Copy + TryFrom<u64> + TryInto<u64>> ValueKind for Count<T> {
    type Value = T;

    fn placeholder(&self) -> &'static str {
        "N"
    }

    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", self.0, self.1)
    }

    fn parse(&self, text: &str) -> Result<T, String> {
        let number = units::parse_whole(text)?;
        narrow(within(number, self.0, self.1, |bound| bound.to_string())?)
    }

    fn show(&self, value: &T) -> String {
        widen(*value).to_string()
    }
}

/// A number of bytes between two bounds, inclusive.
pub(crate) struct Size<T>(pub(crate) u64, pub(crate) u64, PhantomData<T>);

impl<T> Size<T> {
    pub(crate) const fn between(least_bytes: u64, most_bytes: u64) -> Self {
        Self(least_bytes, most_bytes, PhantomData)
    }
}

impl<T: Copy + TryFrom<u64> + TryInto<u64>> ValueKind for Size<T> {
    type Value = T;

    fn placeholder(&self) -> &'static str {
        "SIZE"
    }

    fn allowed(&self) -> String {
        let (least, most) = (units::show_size(self.0), units::show_size(self.1));
        format!("a size from {least} to {most}, as in 64KiB, 1MiB or plain bytes")
    }

    fn parse(&self, text: &str) -> Result<T, String> {
        let bytes = units::parse_size(text)?;
        narrow(within(bytes, self.0, self.1, |bound| units::show_size(*bound))?)
    }

    fn show(&self, value: &T) -> String {
        units::show_size(widen(*value))
    }
}

fn narrow<T: TryFrom<u64>>(number: u64) -> Result<T, String> {
    T::try_from(number).map_err(|_| "is too large a number".into())
}

fn widen<T: TryInto<u64>>(number: T) -> u64 {
    number.try_into().unwrap_or(u64::MAX)
}

fn within<T: PartialOrd>(
    value: T,
    least: T,
    most: T,
    show: impl Fn(&T) -> String,
) -> Result<T, String> {
    if value < least {
        Err(format!("is below the least, {}", show(&least)))
    } else if value > most {
        Err(format!("is above the most, {}", show(&most)))
    } else {
        Ok(value)
    }
}

/// A time between two bounds, inclusive.
pub(crate) struct Span {
    pub(crate) least: Duration,
    pub(crate) most: Duration,
}

impl ValueKind for Span {
    type Value = Duration;

    fn placeholder(&self) -> &'static str {
        "TIME"
    }

    fn allowed(&self) -> String {
        let (least, most) = (units::show_duration(self.least), units::show_duration(self.most));
        format!("a time from {least} to {most}, as in 30s or 500ms")
    }

    fn parse(&self, text: &str) -> Result<Duration, String> {
        let time = units::parse_duration(text)?;
        within(time, self.least, self.most, |bound| units::show_duration(*bound))
    }

    fn show(&self, value: &Duration) -> String {
        units::show_duration(*value)
    }
}
