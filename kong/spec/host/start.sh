#!/bin/sh
# Starts nginx with the plugin in it, as Kong would run it, in the foreground:
#
#   start.sh PREFIX CONFIG PORT
#
# PREFIX: folder for logs and temporary files. CONFIG: a declarative configuration, in JSON. Settings in the environment
# are Kong's: KONG_NGINX_WORKER_PROCESSES (1), KONG_LOG_LEVEL (notice). AI_TRACING_LIBRARY: the folder of
# libai_tracing_kong.so (target/debug). AI_TRACING_PLUGIN: the folder of kong/plugins/ai-tracing (this repository's). A script that starts a real Kong with the same arguments can stand in for this one.
set -eu
prefix=$1 config=$2 port=$3
host=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$host/../../.." && pwd)
mkdir -p "$prefix/logs" "$prefix/temp"
[ "$(id -u)" -ne 0 ] || user="user root;"
sed -e "s|@PREFIX@|$prefix|g" -e "s|@PORT@|$port|g" -e "s|@HOST@|$host|g" \
    -e "s|@USER@|${user:-}|g" \
    -e "s|@PLUGIN@|${AI_TRACING_PLUGIN:-$root}|g" \
    -e "s|@LIBRARY@|${AI_TRACING_LIBRARY:-$root/target/debug}|g" \
    -e "s|@WORKERS@|${KONG_NGINX_WORKER_PROCESSES:-1}|g" -e "s|@LEVEL@|${KONG_LOG_LEVEL:-notice}|g" \
    -e "s|@CONFIG@|$config|g" -e "s|@MODE@|${AI_TRACING_HOST_MODE:-ours}|g" \
    "$host/nginx.conf" >"$prefix/nginx.conf"
exec "${NGINX:-/usr/sbin/nginx}" -p "$prefix" -c "$prefix/nginx.conf"
