//! Between sessions and packed files: what a session evaluates becomes a file, and a file a session.

mod channel_runs;
mod pack;
mod plane_bits;
mod unpack;

pub use pack::{Deployed, pack, pack_networks};
use packed::File;
use packed::manifest::{Picture, Provenance};
pub use unpack::{Unpacked, unpack};

use crate::identity::Identity;

/// What the network was trained as.
pub fn identity(file: &File) -> Identity {
    let manifest = file.manifest();
    let Provenance { model, bits, seed, data, settings_sha256, .. } = manifest.provenance.clone();
    let Picture { height, width, channels } = manifest.image;
    let (classes, image) = (manifest.classes.clone(), [height, width, channels]);
    Identity { model, bits, data, classes, image, seed, config_hash: settings_sha256 }
}

#[cfg(test)]
mod tests {
    use graph::{Geometry, Padding, Shape};
    use packed::manifest::Window;

    use super::pack::packed_window;
    use super::unpack::find_geometry;
    #[test]
    fn windows_keep_their_rule() {
        let shape = Shape::new(9, 7, 3);
        for geometry in [
            Geometry::square(3, 1, Padding::Same),
            Geometry::square(3, 2, Padding::Same),
            Geometry::square(2, 2, Padding::Same),
            Geometry::square(5, 2, Padding::Valid),
            Geometry::square(3, 2, Padding::Explicit(1)),
            Geometry { kernel: (9, 7), stride: 1, padding: Padding::Valid },
            Geometry::square(1, 2, Padding::Valid),
        ] {
            let window = geometry.window(1, shape).expect("fits");
            let found = find_geometry("x", &packed_window(&window), shape).expect("a rule");
            assert_eq!(found.window(1, shape), Some(window), "{geometry:?}");
        }
        let uneven = Window { kernel: [3, 3], stride: 1, padding: [2, 0, 0, 2] };
        assert!(find_geometry("x", &uneven, shape).is_err());
    }
}
