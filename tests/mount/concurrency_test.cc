// SPDX-License-Identifier: Apache-2.0
//
// Many at work on one mount: each with names of its own, where nothing may go wrong, and all with
// names they share, where only the answers that such a race has may come. Under a sanitizer this is
// where the daemon's threads meet.

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

constexpr uint64_t kSeed = 20;
constexpr int kWorkers = 8;
constexpr int kRounds = 60;
constexpr uint64_t kOwnNames = 4;
constexpr uint64_t kSharedNames = 5;

/// One worker's files, in a directory nobody else touches.
class OwnFiles {
 public:
  OwnFiles(std::string directory, uint64_t seed) : directory_(std::move(directory)), random_(seed) {
    EXPECT_EQ(Try(::mkdir(directory_.c_str(), 0755)), 0) << directory_;
  }

  void Step() {
    const std::string name = "f" + std::to_string(random_() % kOwnNames);
    const std::string other = "f" + std::to_string(random_() % kOwnNames);
    switch (random_() % 7) {
      case 0:
      case 1:
        model_[name] = Pattern(random_() % 200000, random_());
        WriteFile(Path(name), model_[name]);
        break;
      case 2:
        if (model_.contains(name)) Change(name);
        break;
      case 3:
        EXPECT_EQ(Try(::rename(Path(name).c_str(), Path(other).c_str())),
                  model_.contains(name) ? 0 : ENOENT)
            << Path(name);
        if (name != other && model_.contains(name)) {
          model_[other] = std::move(model_[name]);
          model_.erase(name);
        }
        break;
      case 4:
        EXPECT_EQ(Try(::unlink(Path(name).c_str())), model_.erase(name) == 1 ? 0 : ENOENT)
            << Path(name);
        break;
      case 5:
        EXPECT_EQ(Try(::chmod(Path(name).c_str(), random_() % 2 == 0 ? 0600 : 0644)),
                  model_.contains(name) ? 0 : ENOENT)
            << Path(name);
        break;
      default:
        Compare();
    }
  }

  void Compare() {
    std::vector<std::string> names;
    for (const auto& [name, text] : model_) {
      names.push_back(name);
      EXPECT_TRUE(ReadFile(Path(name)) == text) << Path(name);
      struct stat facts {};
      EXPECT_EQ(Try(::stat(Path(name).c_str(), &facts)), 0) << Path(name);
      EXPECT_EQ(static_cast<size_t>(facts.st_size), text.size()) << Path(name);
    }
    EXPECT_EQ(Names(directory_), names);
  }

 private:
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  void Change(const std::string& name) {
    std::string& text = model_[name];
    const std::string piece = Pattern(1 + random_() % 5000, random_());
    const size_t offset = random_() % (text.size() + 1);
    const UniqueFd file(::open(Path(name).c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(file.valid()) << Path(name) << ": " << std::strerror(errno);
    ASSERT_EQ(::pwrite(file.get(), piece.data(), piece.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(piece.size()));
    text.resize(std::max(text.size(), offset + piece.size()));
    text.replace(offset, piece.size(), piece);
  }

  const std::string directory_;
  std::mt19937_64 random_;
  std::map<std::string, std::string> model_;
};

/// What may be the answer when others take the names away or put them there.
bool IsARacesAnswer(int error) {
  constexpr std::array<int, 7> kAnswers = {0, ENOENT, EEXIST, ENOTEMPTY, EISDIR, ENOTDIR, ESTALE};
  return std::find(kAnswers.begin(), kAnswers.end(), error) != kAnswers.end();
}

int TryToRead(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> buffer;
  return file.valid() ? Try(static_cast<int>(::read(file.get(), buffer.data(), buffer.size())))
                      : errno;
}

int TryToWrite(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return errno;
  const int written = Try(static_cast<int>(::write(fd, text.data(), text.size())));
  const int closed = Try(::close(fd));
  return written != 0 ? written : closed;
}

int TryToList(const std::string& path) {
  DIR* const stream = ::opendir(path.c_str());
  if (stream == nullptr) return errno;
  do {
    errno = 0;
  } while (::readdir(stream) != nullptr);
  const int error = errno;
  ::closedir(stream);
  return error;
}

int SharedStep(const std::string& directory, std::mt19937_64& random) {
  const std::string path = directory + "/s" + std::to_string(random() % kSharedNames);
  const std::string other = directory + "/s" + std::to_string(random() % kSharedNames);
  struct stat facts {};
  switch (random() % 9) {
    case 0:
      return TryToWrite(path, Pattern(random() % 50000, random()));
    case 1:
      return TryToRead(path);
    case 2:
      return Try(::rename(path.c_str(), other.c_str()));
    case 3:
      return Try(::unlink(path.c_str()));
    case 4:
      return Try(::mkdir(path.c_str(), 0755));
    case 5:
      return Try(::rmdir(path.c_str()));
    case 6:
      return TryToList(directory);
    case 7:
      return Try(::truncate(path.c_str(), static_cast<off_t>(random() % 20000)));
    default:
      return Try(::lstat(path.c_str(), &facts));
  }
}

class ConcurrencyTest : public MountTest {};

TEST_P(ConcurrencyTest, ManyAtWorkAtOnceDoNotDisturbEachOther) {
  const std::string shared = Path("shared");
  ASSERT_EQ(::mkdir(shared.c_str(), 0755), 0);
  std::vector<std::unique_ptr<OwnFiles>> own;
  own.reserve(kWorkers);
  for (int i = 0; i < kWorkers; ++i)
    own.push_back(std::make_unique<OwnFiles>(Path("w" + std::to_string(i)), kSeed + i));
  std::vector<std::thread> workers;
  workers.reserve(kWorkers);
  for (int i = 0; i < kWorkers; ++i) {
    workers.emplace_back([&, i] {
      std::mt19937_64 random(kSeed * 1000 + static_cast<uint64_t>(i));
      for (int round = 0; round < kRounds; ++round) {
        own[static_cast<size_t>(i)]->Step();
        const int error = SharedStep(shared, random);
        EXPECT_TRUE(IsARacesAnswer(error)) << std::strerror(error);
      }
    });
  }
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(RunQuayfs({"sync", env().mount_point()}).status, 0);
    EXPECT_EQ(RunQuayfs({"status", env().mount_point()}).status, 0);
  }
  for (std::thread& worker : workers) worker.join();
  for (const auto& files : own) files->Compare();
  const std::vector<std::string> left = Names(shared);
  ASSERT_NO_FATAL_FAILURE(env().Remount());
  for (const auto& files : own) files->Compare();
  EXPECT_EQ(Names(shared), left);
  if (HasFailure()) ADD_FAILURE() << "seed " << kSeed << "\n" << env().LogText();
}

INSTANTIATE_FOR_ALL_BACKENDS(ConcurrencyTest);

}  // namespace
}  // namespace quayfs::mounttest
