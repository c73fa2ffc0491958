# A repository from its first commit to its clone. All dates and names are fixed, so
# that the object names are the same in every run.
set -eu
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_AUTHOR_DATE='1700000000 +0000'
export GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org GIT_COMMITTER_DATE='1700000000 +0000'

git -c init.defaultBranch=main init -q repository
cd repository
mkdir -p src/a src/b
i=0
while [ $i -lt 300 ]; do
    seq $((i * 10)) $((i * 10 + i)) > src/a/$i.txt
    echo "file $i" > src/b/$i.txt
    i=$((i + 1))
done
git add .
git commit -q -m 'the first 600 files'
for round in 1 2 3; do
    seq $round 4000 > src/large.txt
    git mv src/a/$round.txt src/b/moved-$round.txt
    echo "round $round" >> src/b/7.txt
    git add .
    git commit -q -m "round $round"
done
git switch -q -c side HEAD~2
echo side > side.txt
git add side.txt
git commit -q -m side
git switch -q main
git merge -q -m merged side
git log --format='%H %s' --stat -M
git -c gc.auto=0 gc -q --aggressive
git count-objects
git fsck --full --strict --no-progress
git blame -s src/b/7.txt
git grep -c 299 -- src/a
cd ..
git clone -q repository local
git clone -q --no-local --depth 2 "file://$PWD/repository" shallow
git -C local rev-parse HEAD
git -C shallow log --format=%H
git -C local archive HEAD | cksum
