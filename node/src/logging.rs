//! Logs, as text or JSON, to standard error.

use crate::config::LogFormat;
use crate::error::Stop;
use tracing_subscriber::EnvFilter;

/// Starts logging. May be called once a process; later calls change nothing.
///
/// # Errors
/// [`Stop::Usage`] when the level is none.
pub fn start(level: &str, format: LogFormat) -> Result<(), Stop> {
    let filter = EnvFilter::try_new(level).map_err(|error| {
        let remedy = "use error, warn, info, debug, trace, or directives like info,cretoai_runtime=debug";
        Stop::Usage(format!("log.level = {level:?}: {error}; {remedy}"))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    Ok(())
}
