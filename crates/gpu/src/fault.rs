//! The boundary between wgpu and the rest of the program.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use recording::ExecutorError;

use crate::quiet;

/// What is under way, to name the culprit of an error.
#[derive(Clone, Debug)]
pub(crate) enum During {
    /// Compiling the shader of a kernel.
    Compile(String),
    /// Anything else, by the name of the kernel or operation.
    Other(String),
}

/// The first error that wgpu reported, from whichever call or thread.
#[derive(Debug)]
pub(crate) struct Fault {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    during: During,
    reported: Option<ExecutorError>,
    fatal: Option<ExecutorError>,
}

impl Fault {
    /// Watches `device` for errors that no call returns.
    pub fn watch(device: &wgpu::Device) -> Arc<Self> {
        let state = State { during: During::Other("start".to_owned()), reported: None, fatal: None };
        let fault = Arc::new(Self { state: Mutex::new(state) });
        let on_error = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error| on_error.report(error)));
        let on_loss = fault.clone();
        device.set_device_lost_callback(move |reason, message| {
            let message = message.trim().trim_end_matches('.');
            let reason = if message.is_empty() { format!("{reason:?}") } else { message.to_owned() };
            on_loss.fail(ExecutorError::DeviceLost { reason });
        });
        fault
    }

    /// Marks the device as unusable; the first reason stays.
    pub fn fail(&self, error: ExecutorError) -> ExecutorError {
        self.state().fatal.get_or_insert(error).clone()
    }

    /// Fails fast with the reason why the device is unusable.
    pub fn check(&self) -> Result<(), ExecutorError> {
        self.state().fatal.clone().map_or(Ok(()), Err)
    }

    /// Runs calls of wgpu and turns what they report, or panic with, into an error.
    ///
    /// A reported error concerns these calls alone; a loss or a panic makes the device unusable.
    pub fn guard<T>(
        &self,
        device: &wgpu::Device,
        during: During,
        calls: impl FnOnce() -> T,
    ) -> Result<T, ExecutorError> {
        self.check()?;
        self.state().during = during.clone();
        self.settle(device, &during, quiet::catch(calls))
    }

    /// Like [`Fault::guard`], around every step of `future`.
    pub async fn guard_async<T>(
        &self,
        device: &wgpu::Device,
        during: During,
        future: impl Future<Output = T>,
    ) -> Result<T, ExecutorError> {
        self.check()?;
        self.state().during = during.clone();
        let mut future = pin!(future);
        let result = poll_fn(|context| match quiet::catch(|| future.as_mut().poll(context)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(message) => Poll::Ready(Err(message)),
        });
        let result = result.await;
        self.settle(device, &during, result)
    }

    fn settle<T>(
        &self,
        device: &wgpu::Device,
        during: &During,
        result: Result<T, String>,
    ) -> Result<T, ExecutorError> {
        // A loss is told only to those who poll, and polling a lost device may panic too.
        let polled = quiet::catch(|| device.poll(wgpu::PollType::Poll));
        self.check()?;
        if let Some(error) = self.state().reported.take() {
            return Err(error);
        }
        if let Err(message) = polled {
            let reason = message.lines().next().unwrap_or_default().trim().to_owned();
            return Err(self.fail(ExecutorError::DeviceLost { reason }));
        }
        result.map_err(|message| self.fail(ExecutorError::Validation { kernel: name(during), message }))
    }

    fn report(&self, error: wgpu::Error) {
        let mut state = self.state();
        let during = state.during.clone();
        state.reported.get_or_insert_with(|| translate(error, &during));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is replaced whole, so a panic elsewhere cannot have left it half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(during: &During) -> String {
    match during {
        During::Compile(name) | During::Other(name) => name.clone(),
    }
}

fn translate(error: wgpu::Error, during: &During) -> ExecutorError {
    let message = match error {
        wgpu::Error::OutOfMemory { .. } => return ExecutorError::OutOfMemory { during: name(during) },
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            description
        }
    };
    let message = message.trim().to_owned();
    match during {
        During::Compile(kernel) => ExecutorError::Shader { kernel: kernel.clone(), message },
        During::Other(kernel) => ExecutorError::Validation { kernel: kernel.clone(), message },
    }
}
