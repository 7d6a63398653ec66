//! Changes to the vaults during the run.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;

use crate::Result;
use crate::objects::{PAST, SECRETS, VAULTS};
use crate::run::Run;

/// Writes new versions, disables and enables, gives and takes access, and revokes tokens, until the run is
/// over; then everything may be read again.
pub(crate) async fn make(run: &Run, mut rng: Rng) -> Result<()> {
    while run.goes_on() {
        sleep(Duration::from_millis(rng.u64(20..200))).await;
        let vault = rng.usize(..VAULTS.len());
        match rng.u32(..200) {
            ..12 => run.azure.toggle(vault, None)?,
            12..18 => run.azure.grant(None)?,
            18 => run.storms.revoke(&run.azure.emulator),
            _ => {
                let secret = rng.usize(..SECRETS.len());
                // Whose versions are listed has few of them.
                if SECRETS.get(secret) != Some(&PAST) || rng.u32(..10) == 0 {
                    run.azure.write((vault, secret))?;
                }
            }
        }
    }
    run.azure.grant(Some(true))?;
    (0..VAULTS.len()).try_for_each(|vault| run.azure.toggle(vault, Some(true)))
}
