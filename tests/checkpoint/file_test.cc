#include "model/checkpoint/file.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>

#include "gtest/gtest.h"
#include "model/checkpoint/sha256.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

// Modification times may be too coarse to tell two writes apart, so tests that change a file also
// say when.
void SetModified(const std::string& path, std::chrono::nanoseconds time) {
  fs::last_write_time(path, fs::file_time_type(time));
}

TEST(FileTest, ReadsAnyPart) {
  const TestFolder folder;
  folder.Write("f", "0123456789");
  const auto file = File::Open(folder.File("f"), "f");
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ((*file)->size(), 10);
  EXPECT_EQ((*file)->name(), "f");
  std::string part(4, ' ');
  EXPECT_THAT((*file)->Read(3, absl::MakeSpan(part)), IsOk());
  EXPECT_EQ(part, "3456");
  EXPECT_THAT((*file)->Read(10, {}), IsOk());
  EXPECT_EQ(*(*file)->ReadAll(10), "0123456789");
  EXPECT_THAT((*file)->ReadAll(9), IsError(kInvalid, "f: has 10 bytes; at most 9 are allowed"));
}

TEST(FileTest, FollowsLinksToRegularFiles) {
  const TestFolder folder;
  folder.Write("blob", "bytes");
  fs::create_symlink("blob", folder.File("f"));
  const auto file = File::Open(folder.File("f"), "f");
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(*(*file)->ReadAll(100), "bytes");
}

TEST(FileTest, MissingFilesAndDanglingLinksAreNotFound) {
  const TestFolder folder;
  EXPECT_FALSE(PathExists(folder.File("f")));
  EXPECT_THAT(File::Open(folder.File("f"), "f"), IsError(kNotFound, "f: there is no such file"));
  fs::create_symlink("nothing", folder.File("link"));
  EXPECT_TRUE(PathExists(folder.File("link")));
  EXPECT_THAT(File::Open(folder.File("link"), "link"),
              IsError(kNotFound, "link: is a symbolic link to a file that does not exist"));
  fs::create_symlink("loop", folder.File("loop"));
  EXPECT_FALSE(File::Open(folder.File("loop"), "loop").ok());
}

TEST(FileTest, RefusesEverythingThatIsNotRegular) {
  const TestFolder folder;
  fs::create_directory(folder.File("folder"));
  ASSERT_EQ(mkfifo(folder.File("pipe").c_str(), 0600), 0);
  fs::create_symlink("pipe", folder.File("pipe-link"));
  EXPECT_THAT(File::Open(folder.File("folder"), "f"), IsError(kInvalid, "f: is a folder; it must"));
  EXPECT_THAT(File::Open(folder.File("pipe"), "f"), IsError(kInvalid, "f: is a pipe; it must"));
  EXPECT_THAT(File::Open(folder.File("pipe-link"), "f"), IsError(kInvalid, "f: is a pipe"));
  EXPECT_THAT(File::Open("/dev/zero", "f"), IsError(kInvalid, "f: is a device; it must be"));
}

TEST(FileTest, RefusesSockets) {
  const TestFolder folder;
  sockaddr_un address{.sun_family = AF_UNIX};
  const std::string path = folder.File("s");
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int socket_fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(socket_fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_THAT(File::Open(path, "f"), IsError(kInvalid, "f: is a socket"));
  close(socket_fd);
}

TEST(FileTest, SeesThatTheFileWasCut) {
  const TestFolder folder;
  folder.Write("f", "0123456789");
  const auto file = File::Open(folder.File("f"), "f");
  ASSERT_THAT(file, IsOk());
  EXPECT_THAT((*file)->CheckUnchanged(), IsOk());
  fs::resize_file(folder.File("f"), 5);
  std::string part(4, ' ');
  EXPECT_THAT((*file)->Read(3, absl::MakeSpan(part)),
              IsError(kDataLoss, "f: ends at byte 5, but it had 10 bytes"));
  EXPECT_THAT((*file)->CheckUnchanged(), IsError(kDataLoss, "(10 bytes before, 5 now)"));
  EXPECT_THAT((*file)->ReadAll(100), IsError(kDataLoss, "f: "));
}

TEST(FileTest, SeesThatTheFileGrew) {
  const TestFolder folder;
  folder.Write("f", "0123456789");
  const auto file = File::Open(folder.File("f"), "f");
  ASSERT_THAT(file, IsOk());
  fs::resize_file(folder.File("f"), 11);
  EXPECT_THAT((*file)->ReadAll(100), IsError(kDataLoss, "f: was changed while heed was reading"));
}

TEST(FileTest, SeesThatTheFileWasOverwritten) {
  const TestFolder folder;
  constexpr std::chrono::seconds kThen(1000000000);
  for (const std::chrono::nanoseconds later :
       {std::chrono::nanoseconds(1), std::chrono::nanoseconds(std::chrono::seconds(1))}) {
    folder.Write("f", "0123456789");
    SetModified(folder.File("f"), kThen);
    const auto file = File::Open(folder.File("f"), "f");
    ASSERT_THAT(file, IsOk());
    folder.Overwrite("f", "9876543210");
    SetModified(folder.File("f"), kThen + later);
    EXPECT_THAT((*file)->ReadAll(100), IsError(kDataLoss, "f: was changed while heed was reading"));
  }
}

TEST(FileTest, KeepsTheOldFileWhenAnotherTakesItsName) {
  const TestFolder folder;
  folder.Write("f", "old");
  const auto file = File::Open(folder.File("f"), "f");
  ASSERT_THAT(file, IsOk());
  folder.Write("new", "new");
  fs::rename(folder.File("new"), folder.File("f"));
  EXPECT_EQ(*(*file)->ReadAll(100), "old");
}

TEST(Sha256Test, MatchesPublishedVectors) {  // FIPS 180-2, appendix B
  Sha256 empty;
  EXPECT_EQ(empty.Finish(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 abc;
  abc.Update("a");
  abc.Update("");
  abc.Update("bc");
  EXPECT_EQ(abc.Finish(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 million;
  for (int i = 0; i < 1000; ++i) million.Update(std::string(1000, 'a'));
  EXPECT_EQ(million.Finish(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

}  // namespace
}  // namespace heed
