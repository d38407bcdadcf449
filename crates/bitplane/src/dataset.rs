//! Data sets in the size in which a network reads them.
//!
//! A network's own resize looks at no more than four pixels of a picture for one of its input, so it must not shrink. Pictures
//! that are larger are averaged down where they are read, which costs less memory too.

use data::Dataset;

use crate::config::Config;
use crate::engine;
use crate::exit::Failure;
use crate::models::{self, Model, ModelInput};
use crate::output::note;

/// Opens the set that `config` names: for a training that goes on, with pictures of the size `stored`; for a new one, in the
/// size to which its network resizes them where that is smaller on an axis.
///
/// # Errors
/// A refused data set.
pub fn for_training(config: &Config, stored: Option<[u32; 3]>) -> Result<Dataset, Failure> {
    match stored {
        Some(image) => for_network(&config.data, config.bad_images(), image),
        None => open(&config.data, config.bad_images(), |image| shrunk(config, image)),
    }
}

/// Opens the set `spec` for a network that was trained on images of this height, width and channels.
///
/// # Errors
/// A refused data set.
pub fn for_network(spec: &str, bad: data::Bad, trained: [u32; 3]) -> Result<Dataset, Failure> {
    let [height, width, channels] = trained;
    // A set of other channels is refused by the caller, and with its own sizes.
    open(spec, bad, |own| if own[2] == channels { [height, width] } else { [own[0], own[1]] })
}

fn open(spec: &str, bad: data::Bad, size: impl Fn([u32; 3]) -> [u32; 2]) -> Result<Dataset, Failure> {
    let mut own = [0; 2];
    let dataset = data::open_sized(spec, engine::reading(bad), &mut |image| {
        own = [image[0], image[1]];
        size(image)
    })?;
    dataset.warnings.iter().for_each(|warning| note(&format!("warning: {}", data::printable(warning))));
    let ([rows, columns], Dataset { height, width, .. }) = (own, &dataset);
    if own != [*height, *width] {
        note(&format!("note: pictures of {rows}x{columns} are read as {height}x{width}"));
    }
    Ok(dataset)
}

/// Height and width of the pictures that `config`'s network is trained on, out of those of its data set.
fn shrunk(config: &Config, [height, width, channels]: [u32; 3]) -> [u32; 2] {
    let input = ModelInput { height, width, channels, classes: 2 };
    let model = models::build(&config.model, &input, config.bits());
    match model.and_then(|model| config.preprocess().of(model)) {
        Ok(Model { input, .. }) => [height.min(input.resize_height), width.min(input.resize_width)],
        // Pictures that do not fit are refused where the network is built.
        Err(_) => [height, width],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn config(model: &str, folder: &std::path::Path) -> Config {
        let recipe = models::recipe(model).expect("known");
        let settings = Settings {
            model: Some(model.to_owned()),
            data: Some(format!("folder:{}", folder.display())),
            ..Settings::default()
        };
        Config::resolve(settings, &recipe)
    }

    #[test]
    fn pictures_shrink_to_what_the_network_reads_and_stay_so() {
        let folder = tempfile::tempdir().expect("a folder");
        for class in ["train/a", "train/b", "val/a", "val/b"] {
            std::fs::create_dir_all(folder.path().join(class)).expect("a folder");
            let picture = image::RgbImage::new(96, 30);
            picture.save(folder.path().join(class).join("0.png")).expect("saved");
        }
        let size = |model: &str, stored: Option<[u32; 3]>| {
            let set = for_training(&config(model, folder.path()), stored).expect("opens");
            assert_eq!(set.train.pixels.len(), 2 * set.image_len());
            [set.height, set.width]
        };
        assert_eq!(size("svhn-a", None), [30, 40], "the shorter side grows on the device");
        assert_eq!(size("digits", None), [30, 96], "which has no size of its own");
        assert_eq!(size("alexnet", None), [30, 96]);
        // Runs from before pictures were made smaller, and runs whose folder has another first picture now.
        assert_eq!(size("svhn-a", Some([30, 96, 3])), [30, 96]);
        assert_eq!(size("svhn-a", Some([50, 60, 3])), [50, 60]);
        let spec = config("svhn-a", folder.path()).data;
        let evaluated = |image| for_network(&spec, data::Bad::Refuse, image).expect("opens");
        assert_eq!(evaluated([12, 16, 3]).height, 12);
        assert_eq!(evaluated([12, 16, 1]).height, 30, "refused by the caller, with its size");
    }

    #[test]
    fn the_smaller_pictures_are_all_that_the_network_sees() {
        for (model, own) in [("svhn-a", [64, 96, 3]), ("alexnet", [375, 500, 3]), ("alexnet", [1000, 333, 3])]
        {
            let config = config(model, std::path::Path::new("x"));
            let [height, width] = shrunk(&config, own);
            assert!(height < own[0] && width < own[1]);
            let input = ModelInput { height, width, channels: 3, classes: 2 };
            let built = models::build(model, &input, config.bits()).and_then(|m| config.preprocess().of(m));
            let input = built.expect("fits").input;
            assert_eq!([input.resize_height, input.resize_width], [height, width], "{model} {own:?}");
        }
    }
}
