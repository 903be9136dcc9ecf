#include "tests/base/fuzzing.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace heed {

std::vector<std::string> ReadSeeds(const std::string& folder) {
  std::vector<std::string> paths;
  const std::string root = std::string(HEED_SOURCE_DIR) + "/" + folder;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> seeds;
  for (const std::string& path : paths) {
    std::ifstream file(path, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return seeds;
}

std::string DamagedSeed(const std::vector<std::string>& seeds,
                        const std::vector<std::string>& words, FuzzRandom* random) {
  std::string data = seeds[(*random)(seeds.size())];
  for (uint32_t n = 1 + (*random)(3); n > 0 && !data.empty(); --n) {
    const size_t at = (*random)(data.size());
    const size_t size = std::min<size_t>(1 + (*random)(24), data.size() - at);
    const std::string& other = seeds[(*random)(seeds.size())];
    const size_t other_at = (*random)(other.size());
    switch ((*random)(6)) {
      case 0:
        data[at] = static_cast<char>(data[at] ^ (1 << (*random)(8)));
        break;
      case 1:
        data[at] = static_cast<char>((*random)(256));
        break;
      case 2:
        data.erase(at, size);
        break;
      case 3:
        data.insert(at, data.substr(at, size));
        break;
      case 4:
        data.replace(at, size, other.substr(other_at, size));
        break;
      case 5:
        data.insert(at, words[(*random)(words.size())]);
        break;
    }
  }
  return data;
}

}  // namespace heed
