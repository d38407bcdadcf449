#!/bin/sh
# Brings what Bitplane needs on a bare machine: on Linux without any Vulkan device the distribution's lavapipe (a software
# Vulkan driver), the Vulkan loader, a C linker and Rust's WebAssembly target. Safe to run again; asks for root only
# where something must be installed.
set -eu

say() { printf 'setup: %s\n' "$*"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; return; fi
    if command -v sudo >/dev/null 2>&1; then sudo "$@"; return; fi
    say "root is needed for: $*"
    exit 1
}

has_loader() { ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1' || [ -e /usr/lib/libvulkan.so.1 ]; }

# A driver is announced by a JSON file in one of the loader's folders.
has_driver() {
    for folder in /usr/share/vulkan/icd.d /etc/vulkan/icd.d /usr/local/share/vulkan/icd.d \
        /usr/local/etc/vulkan/icd.d "${HOME:-/nonexistent}/.local/share/vulkan/icd.d"; do
        for file in "$folder"/*.json; do
            [ -e "$file" ] && return 0
        done
    done
    [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ]
}

install_linux() {
    need_driver=no need_linker=no
    if ! has_loader || ! has_driver; then need_driver=yes; fi
    command -v cc >/dev/null 2>&1 || need_linker=yes
    if [ "$need_driver$need_linker" = nono ]; then
        say "a Vulkan driver and a linker are here"
        return
    fi
    if command -v apt-get >/dev/null 2>&1; then
        packages=
        [ "$need_driver" = yes ] && packages="libvulkan1 mesa-vulkan-drivers"
        [ "$need_linker" = yes ] && packages="$packages gcc libc6-dev"
        as_root apt-get update -qq
        # shellcheck disable=SC2086
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
    elif command -v dnf >/dev/null 2>&1; then
        packages=
        [ "$need_driver" = yes ] && packages="vulkan-loader mesa-vulkan-drivers"
        [ "$need_linker" = yes ] && packages="$packages gcc"
        # shellcheck disable=SC2086
        as_root dnf install -y -q $packages
    elif command -v pacman >/dev/null 2>&1; then
        packages=
        [ "$need_driver" = yes ] && packages="vulkan-icd-loader vulkan-swrast"
        [ "$need_linker" = yes ] && packages="$packages gcc"
        # shellcheck disable=SC2086
        as_root pacman -Sy --needed --noconfirm $packages
    elif command -v zypper >/dev/null 2>&1; then
        packages=
        [ "$need_driver" = yes ] && packages="libvulkan1 libvulkan_lvp"
        [ "$need_linker" = yes ] && packages="$packages gcc"
        # shellcheck disable=SC2086
        as_root zypper --non-interactive install $packages
    else
        say "no known package manager: install the Vulkan loader, Mesa's lavapipe driver and a C linker by hand"
        exit 1
    fi
    say "installed:$packages"
}

case "$(uname -s)" in
Linux) install_linux ;;
Darwin) say "macOS has Metal; only the Xcode command line tools are needed (xcode-select --install)" ;;
*) say "on Windows the graphics driver brings Vulkan or DX12; nothing to install" ;;
esac

if ! command -v cargo >/dev/null 2>&1; then
    say "Rust 1.95 or newer is needed: install it with rustup"
    exit 1
fi
# Only the developers' checks compile for WebAssembly; without rustup the distribution's package must bring the target.
if command -v rustup >/dev/null 2>&1; then
    if ! rustup target list --installed | grep -q '^wasm32-unknown-unknown$'; then
        rustup target add wasm32-unknown-unknown || say "the WebAssembly target is missing; cargo xtask ci needs it"
    fi
fi
say "ready: cargo run --release -- train"
