//! Whether the platform itself flushes CPU caches when power fails (eADR).

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::os_error::OsError;

/// Whether every nvdimm region's domain of persistence includes the CPU's caches, as sysfs has it. No
/// regions: it is not so.
///
/// # Errors
/// If sysfs can be read only in part.
pub fn detect() -> Result<bool, OsError> {
    detect_in(Path::new("/sys/bus/nd/devices"))
}

fn detect_in(devices: &Path) -> Result<bool, OsError> {
    let os_error = |error: std::io::Error| OsError(error.raw_os_error().unwrap_or(libc::EIO));
    let entries = match fs::read_dir(devices) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        entries => entries.map_err(os_error)?,
    };
    let mut regions = 0;
    for entry in entries {
        let entry = entry.map_err(os_error)?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("region"));
        if number.is_none_or(|number| number.parse::<u32>().is_err()) {
            continue;
        }
        match fs::read(entry.path().join("persistence_domain")) {
            Ok(domain) if domain.trim_ascii() == b"cpu_cache" => regions += 1,
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(os_error(error)),
        }
    }
    Ok(regions > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_counts() {
        let root = tempfile::tempdir().unwrap();
        let devices = root.path().join("devices");
        assert_eq!(detect_in(&devices), Ok(false), "no nvdimm bus");
        fs::create_dir_all(devices.join("region0")).unwrap();
        fs::create_dir_all(devices.join("namespace0.0")).unwrap();
        assert_eq!(detect_in(&devices), Ok(false), "an old kernel");
        let set = |region: &str, domain: &str| {
            fs::create_dir_all(devices.join(region)).unwrap();
            fs::write(devices.join(region).join("persistence_domain"), domain).unwrap();
        };
        set("region0", "cpu_cache\n");
        assert_eq!(detect_in(&devices), Ok(true));
        set("region1", "memory_controller\n");
        assert_eq!(detect_in(&devices), Ok(false));
        set("region1", "cpu_cache\n");
        assert_eq!(detect_in(&devices), Ok(true));
        assert!(detect_in(&devices.join("region1/persistence_domain")).is_err());
    }
}
