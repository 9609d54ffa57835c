# Read before the blocks of a page: commands that a test must not run as they are. All others are the real ones.
# PYTHON: the interpreter of the tests; TOOLS: this file's folder; TEMPLATE: an untouched workplace.

python() { "$PYTHON" "$@"; }  # also in a virtual environment that a page makes, which has no packages
python3() { "$PYTHON" "$@"; }
pip() { "$PYTHON" "$TOOLS/check_pip.py" pip "$@"; }
pipx() { "$PYTHON" "$TOOLS/check_pip.py" pipx "$@"; }
uv() { "$PYTHON" "$TOOLS/check_pip.py" uv "$@"; }
pytest() { "$PYTHON" -m pytest -p no:cacheprovider "$@"; }

photochrom() {
    if [[ $1 == web || ($1 == survey && " $* " != *" --results "*) ]]; then
        start_server "$PORT" photochrom "$@" --port "$PORT"
    elif [[ $1 == train ]]; then
        # A page may have a recipe of its own; the other recipes are small ones (`workplaces.write_recipes`).
        "$PYTHON" -m photochrom "$@" --set trainer.steps=6 --set trainer.validate_every=3 \
            --set trainer.batch=4 --set data.size=32
    else
        "$PYTHON" -m photochrom "$@"
    fi
}

dask() {
    case $1 in
        scheduler) start_server "$DASK_PORT" dask "$@" --port "$DASK_PORT" --no-dashboard ;;
        worker) start_server "" dask "$@" --no-dashboard ;;
    esac
}

# In the background, until another server wants the port, or the page ends.
start_server() { "$PYTHON" "$TOOLS/start_server.py" "$@"; }

git() {
    [[ $1 == clone ]] || { command git "$@"; return; }
    cp -R "$TEMPLATE" "$(basename "${@: -1}" .git)"
}
