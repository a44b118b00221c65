#!/bin/sh
# Build the image, and try it: deploy/image.sh build|try|size|save|base [TAG]
#   build   with docker, podman or buildah, whichever is there; BASE chooses the base, PLATFORM e.g. linux/arm64
#   try     run it as Kubernetes would (user by number, nothing writable but the volume) and send it an event
#   size    say how large it is compressed; fail from 120 MB on
#   save    write it to dist/ as an archive
#   base    make localhost/python-of-debian with buildah from Debian's packages, for BASE where no registry of images can
#           be reached: what it lacks is only the newest Python
# An engine that is missing is said, loudly, with exit code 3.
set -eu
cd "$(dirname "$0")/.."
ACTION=${1:?build, try, size, save or base}
TAG=${2:-hookkeeper}

missing() {
    echo "THE IMAGE IS NOT ${1}: ${2}" >&2
    exit 3
}

has() { command -v "$1" >/dev/null 2>&1; }

# A client alone is not an engine: docker needs its daemon.
if [ -n "${ENGINE:-}" ]; then has "$ENGINE" || missing "MADE" "$ENGINE is not installed"
elif has docker && docker info >/dev/null 2>&1; then ENGINE=docker
elif has podman; then ENGINE=podman
elif has buildah; then ENGINE=buildah
else missing "MADE" "no Docker daemon, podman or buildah (apt-get install buildah)"; fi
# In a container or a sandbox buildah may not make namespaces.
export BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}"
if [ "$ENGINE" = buildah ]; then
    # Root in a container: an overlay on an overlay may be refused only when it is mounted.
    [ "$(id -u)" != 0 ] || export STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}"
    said=$(buildah info 2>&1) || missing "MADE" "buildah does not work here: $said"
fi

build() {
    set -- ${BASE:+--build-arg "BASE=$BASE"} ${PLATFORM:+--platform "$PLATFORM"} -f deploy/Dockerfile -t "$TAG" .
    case $ENGINE in
    docker) docker build "$@" ;;
    # Docker's format: the other one has no HEALTHCHECK.
    *) "$ENGINE" build --format docker "$@" ;;
    esac
}

base() {
    has buildah && has mmdebstrap || missing "MADE" "a base from Debian's packages needs: apt-get install buildah mmdebstrap"
    tree=$(mktemp -d)
    trap 'rm -rf "$tree"' EXIT
    mmdebstrap --quiet --variant=minbase --include=python3-minimal,python3-venv,libpython3-stdlib,ca-certificates \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$tree"
    # What this machine's pip and its certificates need to reach their index.
    for file in /etc/pip.conf ${PIP_CERT:-} "$(pip config get global.cert 2>/dev/null || true)"; do
        if [ -f "$file" ]; then mkdir -p "$tree$(dirname "$file")" && cp "$file" "$tree$file"; fi
    done
    if [ -n "${PIP_CERT:-}" ] && [ ! -f "$tree/etc/pip.conf" ]; then
        printf '[global]\ncert = %s\n' "$PIP_CERT" >"$tree/etc/pip.conf"
    fi
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$tree" / >/dev/null
    buildah commit --quiet --rm "$container" localhost/python-of-debian >/dev/null
    echo localhost/python-of-debian
}

# The whole trial runs in front of the engine: release/trial.py.
try() {
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    mkdir "$folder/store" "$folder/config"
    chown 10001:10001 "$folder/store"
    chmod 755 "$folder" "$folder/config"
    if [ "$ENGINE" = buildah ]; then
        container=$(buildah from --pull-never "$TAG")
        trap 'buildah rm "$container" >/dev/null; rm -rf "$folder"' EXIT
        config=$(buildah inspect --type image --format '{{.Docker.Config.User}} {{.Docker.Config.Healthcheck}}' "$TAG")
        set -- buildah run --user 10001:10001 --workingdir /var/lib/gateway \
            --volume "$folder/store:/var/lib/gateway" --volume "$folder/config:/etc/gateway:ro" "$container" --
    else
        config=$("$ENGINE" inspect --format '{{.Config.User}} {{.Config.Healthcheck}}' "$TAG")
        set -- "$ENGINE" run --rm --network host --read-only --cap-drop ALL --security-opt no-new-privileges \
            --volume "$folder/store:/var/lib/gateway" --volume "$folder/config:/etc/gateway:ro" --entrypoint env "$TAG"
    fi
    case $config in
    10001:10001*readyz*) ;;
    *) echo "THE IMAGE HAS ANOTHER USER, OR NO HEALTHCHECK: $config" >&2; exit 1 ;;
    esac
    python3 release/trial.py --folder "$folder/config" --config /etc/gateway --store /var/lib/gateway -- "$@"
    # What only builds or is never imported must not be carried along.
    "$@" python3 -c '
import importlib.util, sys
sys.exit(", ".join(filter(importlib.util.find_spec, ("faker", "polyfactory", "hatchling"))) or 0)'
}

# The layers are compressed: what a registry would hold, and a machine would fetch.
archive() {
    rm -f "$1"
    case $ENGINE in
    buildah) buildah push --quiet --format oci "$TAG" "oci-archive:$1:$TAG" ;;
    *) "$ENGINE" save "$TAG" | gzip >"$1" ;;
    esac
}

save() {
    mkdir -p dist
    archive "dist/$(echo "$TAG" | tr : -)-image.tar"
}

size() {
    archive=$(mktemp -u)
    trap 'rm -f "$archive"' EXIT
    archive "$archive"
    bytes=$(wc -c <"$archive")
    echo "$((bytes / 1000000)) MB compressed"
    [ "$bytes" -lt 120000000 ] || { echo "THE IMAGE IS LARGER THAN 120 MB" >&2; exit 1; }
}

"$ACTION"
