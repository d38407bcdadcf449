//! Searches for values that are not finite.

use recording::BufferSlice;

use super::{FLAGS_OFFSET, MAX_FLAGS, Mode, Recorder};
use crate::{GraphError, scan, scan::Scan};

impl Recorder {
    /// Raises a flag when a value is NaN or infinite; the host turns it into an error that names the layer and `what`.
    /// Training checks every step, so an evaluation does not.
    ///
    /// # Errors
    /// More checks than there are flags.
    pub fn check_finite(&mut self, what: &'static str, values: &[BufferSlice]) -> Result<(), GraphError> {
        if matches!(self.mode, Mode::Evaluate { .. }) {
            return Ok(());
        }
        let slot = u32::try_from(self.checks.len()).expect("few checks");
        if slot >= MAX_FLAGS {
            return Err(GraphError::layer(&self.scope.layer, format!("more than {MAX_FLAGS} finite checks")));
        }
        self.checks.push((self.scope.layer.clone(), what));
        let (phase, at) = (self.phase, self.phases.get(&self.phase).map_or(0, Vec::len));
        let scope = self.scope.clone();
        let pieces: Vec<BufferSlice> = values.iter().flat_map(|values| self.pieces(*values)).collect();
        self.scans.extend(pieces.into_iter().map(|values| Scan {
            phase,
            at,
            slot,
            values,
            scope: scope.clone(),
        }));
        Ok(())
    }

    /// Places the dispatches of all checks, once every phase that has any is recorded.
    ///
    /// # Errors
    /// Buffers that do not fit.
    pub(crate) fn place_checks(&mut self) -> Result<(), GraphError> {
        let flags = self.status(FLAGS_OFFSET, u64::from(MAX_FLAGS));
        let wholes = self.arenas.iter().flat_map(|arena| [arena.value, arena.gradient]);
        let arenas: Vec<BufferSlice> = wholes.flat_map(|whole| self.pieces(whole)).collect();
        let mut phases = std::mem::take(&mut self.phases);
        for (phase, dispatches) in &mut phases {
            let scans: Vec<Scan> = self.scans.extract_if(.., |scan| scan.phase == *phase).collect();
            *dispatches = scan::place(self, std::mem::take(dispatches), scans, (flags, &arenas))?;
        }
        self.phases = phases;
        Ok(())
    }
}
