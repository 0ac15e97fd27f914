//! The process's own limits.

use rustix::process::{Resource, getrlimit, setrlimit};

/// The limit on open files could not be raised.
#[derive(Debug, thiserror::Error)]
#[error("cannot raise the limit on open files to {wanted}: {reason}")]
pub struct LimitError {
    wanted: u64,
    reason: rustix::io::Errno,
}

/// Raises the soft limit on open files to the hard one, as every server of many connections does: the soft one is
/// 1024 on most systems for the sake of `select(2)`, which is not used here. Returns the limit in force; `None` means
/// that there is none.
pub fn raise_open_files() -> Result<Option<u64>, LimitError> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(limit.current);
    }
    limit.current = limit.maximum;
    let wanted = limit.maximum.unwrap_or(u64::MAX);
    setrlimit(Resource::Nofile, limit).map_err(|reason| LimitError { wanted, reason })?;
    Ok(limit.current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn afterwards_the_soft_limit_is_the_hard_one() {
        let limit = raise_open_files().unwrap();
        assert_eq!(limit, getrlimit(Resource::Nofile).maximum);
    }
}
