//! Saved and restored state.

use std::collections::BTreeMap;

use recording::{BufferSlice, Executor};

use super::{NamedTensor, Session};
use crate::GraphError;

impl<E: Executor> Session<E> {
    /// Parameters, running statistics and optimizer state, sorted by name.
    ///
    /// # Errors
    /// Reports of queued steps that nobody has taken, or a device failure.
    pub async fn state(&mut self) -> Result<Vec<NamedTensor>, GraphError> {
        self.expect_settled("state")?;
        let mut result = Vec::new();
        for (name, shape, slice) in self.saved() {
            result.push(NamedTensor { name, shape, values: self.read_f32(slice).await? });
        }
        Ok(result)
    }

    /// Replaces the whole state.
    ///
    /// # Errors
    /// [`GraphError::State`] names tensors that are missing, unknown, of another shape or not finite; then nothing was
    /// changed.
    pub fn load_state(&mut self, tensors: &[NamedTensor]) -> Result<(), GraphError> {
        let saved = self.saved();
        let given: BTreeMap<&str, &NamedTensor> = tensors.iter().map(|t| (t.name.as_str(), t)).collect();
        let bad = |message: String| Err(GraphError::State { message });
        for (name, shape, _) in &saved {
            match given.get(name.as_str()) {
                None => return bad(format!("`{name}` is missing")),
                Some(tensor) if tensor.shape != *shape => {
                    return bad(format!("`{name}` has shape {:?}, not {shape:?}", tensor.shape));
                }
                Some(tensor) if tensor.values.iter().any(|v| !v.is_finite()) => {
                    return bad(format!("`{name}` holds a value that is not finite"));
                }
                Some(_) => {}
            }
        }
        if let Some(name) = given.keys().find(|name| !saved.iter().any(|(known, ..)| known == **name)) {
            return bad(format!("`{name}` is unknown"));
        }
        self.follow_state(tensors)?;
        for (name, _, slice) in self.saved() {
            let words: Vec<u32> = given[name.as_str()].values.iter().map(|v| v.to_bits()).collect();
            self.write(slice, &words)?;
        }
        self.frozen = false;
        Ok(())
    }

    /// Replaces parameters and running statistics, whether their values are finite or not, and leaves the optimizer's
    /// state and frozen parts as they are. Tensors of other names are not read.
    ///
    /// # Errors
    /// [`GraphError::State`] names every tensor that is missing or of another shape; then nothing was changed.
    pub fn load_parameters(&mut self, tensors: &[NamedTensor]) -> Result<(), GraphError> {
        self.replace(tensors, false)
    }

    /// Replaces the parameters of frozen parts, which no checkpoint of the session holds.
    ///
    /// # Errors
    /// As [`Session::load_parameters`].
    pub fn load_frozen(&mut self, tensors: &[NamedTensor]) -> Result<(), GraphError> {
        self.replace(tensors, true)?;
        self.held = tensors.to_vec();
        Ok(())
    }

    fn replace(&mut self, tensors: &[NamedTensor], frozen: bool) -> Result<(), GraphError> {
        let given: BTreeMap<&str, &NamedTensor> = tensors.iter().map(|t| (t.name.as_str(), t)).collect();
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        let wanted = self.schedule.recorder.parameters.iter().filter(|(_, p)| p.frozen == frozen);
        for (name, parameter) in wanted {
            match given.get(name.as_str()) {
                // A training may start with the weights of one whose lengths were fixed.
                None if parameter.spec.is_length => {}
                None => problems.push(format!("`{name}` is missing")),
                Some(tensor) if tensor.shape != parameter.spec.shape => {
                    problems.push(format!(
                        "`{name}` has shape {:?}, not {:?}",
                        tensor.shape, parameter.spec.shape
                    ));
                }
                Some(tensor) => found.push(*tensor),
            }
        }
        if !problems.is_empty() {
            return Err(GraphError::State { message: problems.join("; ") });
        }
        self.follow_state(tensors)?;
        for tensor in found {
            let slice = self.schedule.recorder.parameters[&tensor.name].value;
            let words: Vec<u32> = tensor.values.iter().map(|v| v.to_bits()).collect();
            self.write(slice, &words)?;
        }
        self.frozen = false;
        Ok(())
    }

    fn saved(&self) -> Vec<(String, Vec<usize>, BufferSlice)> {
        let mut saved = Vec::new();
        for parameter in self.schedule.recorder.parameters.values().filter(|p| !p.frozen) {
            let shape = &parameter.spec.shape;
            saved.push((parameter.name.clone(), shape.clone(), parameter.value));
            for (moment, slice) in self.options.optimizer.moments().iter().zip(&parameter.moments) {
                saved.push((format!("{}.{moment}", parameter.name), shape.clone(), *slice));
            }
        }
        saved.sort_by(|a, b| a.0.cmp(&b.0));
        saved
    }
}
