# sh keeper.sh FOLDER
#
# Makes the cluster, then sleeps on its standard input, which ends with the process that owns the
# server, however that ends; then removes all. It outlives a terminal's Ctrl-C and `kill -9`.
tries=0
again() { tries=$((tries + 1)); [ $tries -lt 200 ] && sleep 0.05; }
remove() { cd /; while rm -rf "$home"; [ -e "$home" ] && again; do :; done; }

trap '' PIPE
umask 077
home=$(mktemp -d "$1/async-pool-guide.XXXXXX") || exit
trap remove EXIT
echo "$home"
IFS= read -r initdb && IFS= read -r password || exit
printf %s "$password" >"$home/password" || exit
"$initdb" --pgdata="$home/data" --username=postgres --pwfile="$home/password" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync >/dev/null || exit
rm "$home/password"
echo ready
exec >/dev/null 2>&1
cat
mv "$home" "$home.gone" && home=$home.gone  # what is about to start finds nothing to start from
if read -r pid <"$home/pid"; then
    kill -QUIT "$pid"
    while kill -0 "$pid" && ! grep '^State:.Z' "/proc/$pid/status" && again; do :; done
fi
