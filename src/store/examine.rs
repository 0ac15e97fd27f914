//! A look at the file from outside, without changing it.

use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::handle::FILE_NAME;

/// Whether the database in this folder is whole: its path if it is, nothing if there is none yet, or what is wrong.
/// Reads the whole file, and changes nothing.
pub async fn examine(data_dir: &Path) -> Result<Option<PathBuf>, String> {
    let path = data_dir.join(FILE_NAME);
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) => return Err(format!("{} cannot be looked at: {error}", path.display())),
    }
    let options = SqliteConnectOptions::new().filename(&path).read_only(true).disable_statement_logging();
    let looked = async {
        let mut connection = options.connect().await?;
        let said: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(said)
    };
    match looked.await {
        Ok(said) if said == "ok" => Ok(Some(path)),
        Ok(said) => Err(format!("{} is damaged: {said}", path.display())),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}
