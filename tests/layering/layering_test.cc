#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/layering/include_rules.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool IsSource(const fs::path& path) {
  return path.extension() == ".h" || path.extension() == ".cc";
}

TEST(LayeringTest, EveryIncludeKeepsToTheRules) {
  const fs::path root = HEED_SOURCE_DIR;
  int files = 0;
  for (const char* folder : {"model", "server", "client"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      if (!IsSource(entry.path())) continue;
      const std::string path = fs::relative(entry.path(), root).generic_string();
      EXPECT_THAT(FindViolations(path, ReadFile(entry.path())), testing::IsEmpty());
      ++files;
    }
  }
  EXPECT_GT(files, 100) << "the sources were not found under " << root;
}

std::vector<std::string> Including(const std::string& path, const std::string& header) {
  return FindViolations(path, absl::StrCat("#include \"", header, "\"\n"));
}

using Includes = std::vector<std::pair<std::string, std::string>>;

TEST(LayeringTest, RefusesDependenciesThatPointBack) {
  for (const auto& [path, header] :
       Includes{{"model/base/cpu.cc", "model/tokenizer/tokenizer.h"},
                {"model/checkpoint/file.cc", "model/transformer/transformer.h"},
                {"model/kernels/backend.h", "model/checkpoint/checkpoint.h"},
                {"model/transformer/weights.cc", "model/inspect/attention_tile.h"},
                {"model/transformer/weights.cc", "model/generate/sampler.h"},
                {"model/transformer/weights.cc", "model/tokenizer/bpe.h"},
                {"model/generate/sampler.cc", "model/transformer/transformer.h"},
                {"model/transformer/weights.cc", "server/engine/registry.h"},
                {"server/main.cc", "client/client.h"},
                {"client/client.cc", "model/base/utf8.h"},
                {"client/client.cc", "server/calls/status.h"},
                {"server/engine/scheduler.cc", "server/convert/violations.h"},
                {"server/convert/generate.cc", "server/inspect/run_source.h"},
                {"server/inspect/run_source.h", "server/config.h"},
                {"server/services/model_service.cc", "server/server.h"},
                {"client/client.cc", "client/cli/base/json.h"},
                {"client/cli/base/table.cc", "client/cli/pages/page.h"},
                {"client/cli/pages/page.cc", "client/cli/app.h"},
                {"model/new_folder/a.cc", "model/base/utf8.h"},
                {"model/loose.cc", "model/base/utf8.h"}}) {
    EXPECT_THAT(Including(path, header), testing::SizeIs(1)) << path << " " << header;
  }
}

TEST(LayeringTest, RefusesThirdPartyHeadersOutsideTheirFiles) {
  for (const auto& [path, header] :
       Includes{{"model/transformer/transformer.cc", "oneapi/dnnl/dnnl.hpp"},
                {"model/kernels/fast_backend.cc", "dnnl.hpp"},
                {"model/tokenizer/pattern.cc", "pcre2.h"},
                {"model/checkpoint/hf_config.cc", "simdjson.h"},
                {"model/base/json.h", "simdjson.h"},
                {"model/tokenizer/bpe.cc", "utf8proc.h"},
                {"client/client.cc", "utf8proc.h"},
                {"client/cli/explore/explore_bridge.cc", "httplib.h"},
                {"model/checkpoint/file.cc", "openssl/evp.h"},
                {"server/engine/scheduler.cc", "spdlog/spdlog.h"},
                {"model/transformer/rope.cc", "immintrin.h"},
                {"model/base/error.cc", "grpcpp/grpcpp.h"},
                {"model/base/error.cc", "google/protobuf/message.h"},
                {"model/base/error.cc", "heed/v1/types.pb.h"},
                {"server/engine/scheduler.cc", "grpcpp/grpcpp.h"},
                {"server/engine/sequence.h", "heed/v1/types.pb.h"},
                {"server/engine/step_planner.cc", "google/protobuf/duration.pb.h"},
                {"server/engine/registry.h", "grpc/grpc.h"},
                {"server/engine/model_lane.cc", "google/rpc/status.pb.h"},
                {"client/client.cc", "gtest/gtest.h"},
                {"model/base/cpu.cc", "tests/layering/include_rules.h"},
                {"model/base/cpu.cc", "../base/cpu.h"}}) {
    EXPECT_THAT(Including(path, header), testing::SizeIs(1)) << path << " " << header;
  }
}

TEST(LayeringTest, AllowsWhatTheDesignAllows) {
  for (const auto& [path, header] :
       Includes{{"model/base/cpu.cc", "model/base/cpu.h"},
                {"model/kernels/linear_onednn.cc", "dnnl.hpp"},
                {"model/generate/sampler.h", "model/tokenizer/tokenizer.h"},
                {"server/convert/model.cc", "heed/v1/model.pb.h"},
                {"server/engine/scheduler.h", "model/transformer/language_model.h"},
                {"client/client.cc", "grpcpp/channel.h"},
                {"client/cli/base/table.cc", "utf8proc.h"},
                {"model/base/cpu.cc", "vector"}}) {
    EXPECT_THAT(Including(path, header), testing::IsEmpty()) << path << " " << header;
  }
}

TEST(LayeringTest, ReadsEverySpellingOfAnInclude) {
  EXPECT_EQ(IncludedPath("#include \"a/b.h\""), "a/b.h");
  EXPECT_EQ(IncludedPath("  #  include <c>  // why"), "c");
  EXPECT_EQ(IncludedPath("#include<d.h>\r"), "d.h");
  EXPECT_EQ(IncludedPath("// #include <c>"), "");
  EXPECT_EQ(IncludedPath("#include MACRO"), "");
  EXPECT_EQ(IncludedPath("#include \"open"), "");
  EXPECT_EQ(IncludedPath("int include;"), "");
}

}  // namespace
}  // namespace heed
