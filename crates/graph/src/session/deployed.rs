//! A deployed network out of a session, and into one.

use std::collections::HashMap;

use recording::Executor;

use super::Session;
use crate::{
    GraphError,
    deployed::{DeployedLayer, Deployment, Described},
};

impl<E: Executor> Session<E> {
    /// The deployed network, with the numbers that an evaluation computes with now.
    ///
    /// # Errors
    /// As [`Session::freeze`]; [`GraphError::Layer`] names a layer that has no deployed description.
    pub async fn deployed(&mut self) -> Result<Vec<DeployedLayer>, GraphError> {
        self.freeze().await?;
        let deployment = std::mem::take(&mut self.schedule.recorder.deployment);
        let layers = self.read_deployed(&deployment).await;
        self.schedule.recorder.deployment = deployment;
        layers
    }

    async fn read_deployed(&mut self, deployment: &Deployment) -> Result<Vec<DeployedLayer>, GraphError> {
        if let Some(layer) = &deployment.missing {
            return Err(GraphError::layer(layer, "has no packed form with these settings"));
        }
        let mut layers = Vec::new();
        for Described { name, inputs, operation, tensors } in &deployment.layers {
            let mut values = Vec::new();
            for (tensor, slice) in tensors {
                values.push((*tensor, self.read(*slice).await?));
            }
            let (name, inputs, operation) = (name.clone(), inputs.clone(), operation.clone());
            layers.push(DeployedLayer { name, inputs, operation, tensors: values });
        }
        Ok(layers)
    }

    /// Puts the numbers of a deployed network in place: words of every parameter, by name.
    ///
    /// # Errors
    /// [`GraphError::State`] names parameters that are missing, unknown or of another size; then nothing was changed.
    pub fn load_deployed(&mut self, tensors: &HashMap<String, Vec<u32>>) -> Result<(), GraphError> {
        let parameters: Vec<_> =
            self.schedule.recorder.parameters.values().map(|p| (p.name.clone(), p.value)).collect();
        let bad = |message: String| Err(GraphError::State { message });
        for (name, slice) in &parameters {
            match tensors.get(name) {
                Some(words) if words.len() as u64 == slice.words => {}
                Some(words) => {
                    return bad(format!("`{name}` has {} words, not {}", words.len(), slice.words));
                }
                None => return bad(format!("`{name}` is missing")),
            }
        }
        if let Some(name) = tensors.keys().find(|name| !parameters.iter().any(|(known, _)| known == *name)) {
            return bad(format!("`{name}` is unknown"));
        }
        for (name, slice) in parameters {
            self.write(slice, &tensors[&name])?;
        }
        self.frozen = false;
        Ok(())
    }
}
